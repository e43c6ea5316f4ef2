"""Pack rows with a common prefix into one sequence: the shared tokens once, then one branch per row.

Three goals after one prompt:
    prompt, "goal 1, completion", "goal 2, completion", "goal 3, completion"
Tokens of a branch attend to the shared tokens and to their own branch, and positions continue from the shared tokens in
every branch, so the result is the same as for separate rows. The common prefix is found in the tokens, never in the
text: if prompt and goal merge into other tokens, less is shared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gcsl_cli.data.arrays import Bools, Ints
from gcsl_cli.models.prompting import EncodedRow


@dataclass(frozen=True, slots=True)
class Branched:
    """One sequence: rows with the same first `shared` tokens; 0 for a single row."""

    rows: tuple[EncodedRow, ...]
    shared: int

    @property
    def tokens(self) -> int:
        """Number of tokens in the sequence."""
        return sum(len(row.input_ids) - self.shared for row in self.rows) + self.shared


def packing_order(
    units: Sequence[tuple[EncodedRow, ...]], sequence: Ints, *, apart: bool
) -> tuple[list[EncodedRow], Ints, Ints, Bools]:
    """Order the rows of units as they are packed. A unit is a row, followed by its copy if it has one.

    A copy follows its row, so that they share the prompt. If `apart`, copies follow all rows, because the goal comes
    first, so a row shares nothing with its copy; the copies of one sequence can still share with each other.

    Args:
        units: rows of each unit.
        sequence: sequence number of each unit, `(units,)`.
        apart: see above.

    Returns:
        The rows, and the sequence number and the unit of each, and whether it is a copy, `(rows,)`.
    """
    rows = [row for unit in units for row in unit]
    number = np.repeat(np.arange(len(units)), [len(unit) for unit in units])
    copy = np.array([place > 0 and row.negative for unit in units for place, row in enumerate(unit)], dtype=np.bool_)
    order = np.argsort(copy & apart, kind="stable")
    numbers = sequence[number] * 2 + (copy & apart)
    return [rows[place] for place in order.tolist()], numbers[order], number[order], copy[order]


def shared_tokens(rows: Sequence[EncodedRow], index: Ints) -> Ints:
    """Number of tokens that each row shares with the row before it, `(rows,)`; 0 if that row is of another example.

    The last token of a prompt, goal included, always stays in the branch, because it predicts the first supervised
    token.
    """
    shared = np.zeros(len(rows), dtype=np.int64)
    for number in (np.flatnonzero(np.diff(index) == 0) + 1).tolist():
        first, second = rows[number - 1], rows[number]
        limit = min(first.prompt_tokens, second.prompt_tokens) - 1
        shared[number] = _common_prefix(first.input_ids, second.input_ids, limit)
    return shared


def _common_prefix(first: Sequence[int], second: Sequence[int], limit: int) -> int:
    different = np.flatnonzero(np.not_equal(first[:limit], second[:limit]))
    return int(different[0]) if len(different) else max(limit, 0)


def sequence_starts(tokens: Ints, shared: Ints, limit: float) -> Bools:
    """Mark rows that start a sequence, `(rows,)`: those that share nothing or would exceed `limit` tokens.

    Args:
        tokens: tokens of each row on its own, `(rows,)`.
        shared: result of `shared_tokens`, `(rows,)`.
        limit: maximum tokens of a sequence; a single longer row is still a sequence.
    """
    starts = shared == 0
    length = prefix = count = 0
    for row in np.flatnonzero(~starts):
        if starts[row - 1]:
            length, prefix, count = int(tokens[row - 1]), int(tokens[row - 1]), 1
        # The rows of a sequence share the shortest prefix that two neighbors share.
        new_prefix = min(prefix, int(shared[row]))
        new_length = length + (prefix - new_prefix) * (count - 1) + int(tokens[row]) - new_prefix
        if new_length > limit:
            starts[row] = True
        else:
            length, prefix, count = new_length, new_prefix, count + 1
    return starts


def computed_tokens(tokens: Ints, shared: Ints, starts: Bools) -> Ints:
    """Tokens that each row adds to its sequence, `(rows,)`: all for the first row, the unshared ones for the others."""
    if not len(tokens):
        return tokens
    begins = np.flatnonzero(starts)
    sequence = np.cumsum(starts) - 1
    prefix = np.minimum.reduceat(np.where(starts, np.iinfo(np.int64).max, shared), begins)
    return np.where(starts, tokens, tokens - prefix[sequence])


def branched(rows: Sequence[EncodedRow], index: Ints, limit: float) -> list[Branched]:
    """Pack rows into sequences, in order; neighboring rows of one example become branches of one sequence.

    Args:
        rows: tokenized rows.
        index: example number of each row, `(rows,)`.
        limit: maximum tokens of a sequence; further branches go into the next one, which repeats the shared tokens.
    """
    shared = shared_tokens(rows, index)
    starts = sequence_starts(np.array([len(row.input_ids) for row in rows], dtype=np.int64), shared, limit)
    begins = np.flatnonzero(starts)
    return [
        Branched(tuple(rows[begin:end]), int(shared[begin + 1 : end].min()) if end - begin > 1 else 0)
        for begin, end in zip(begins.tolist(), [*begins.tolist(), len(rows)][1:], strict=True)
    ]
