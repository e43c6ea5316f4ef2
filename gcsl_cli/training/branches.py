"""Rows that begin alike as one sequence: what they share once, then a branch for the rest of each row.

Three goals after one prompt:
    prompt, "goal 1, completion", "goal 2, completion", "goal 3, completion"
A token of a branch sees the shared tokens and its own branch, and positions go on from the shared tokens in every
branch, so every row is computed as if it stood alone. What rows share is found in their tokens, never in their texts:
where prompt and goal merge into other tokens, less is shared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.models.prompting import EncodedRow

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Branched:
    """One sequence: rows whose first `shared` tokens are the same; 0 for a row by itself."""

    rows: tuple[EncodedRow, ...]
    shared: int

    @property
    def tokens(self) -> int:
        """Tokens of the sequence."""
        return sum(len(row.input_ids) - self.shared for row in self.rows) + self.shared


def shared_tokens(rows: Sequence[EncodedRow], index: Ints) -> Ints:
    """How many tokens each row shares with the one before it, `(rows,)`; 0 for a row of another example.

    The last token of a prompt, goal included, always stays in the branch: it predicts the first supervised one.
    """
    shared = np.zeros(len(rows), dtype=np.int64)
    for place in (np.flatnonzero(np.diff(index) == 0) + 1).tolist():
        one, other = rows[place - 1], rows[place]
        shared[place] = _common(one.input_ids, other.input_ids, min(one.prompt_tokens, other.prompt_tokens) - 1)
    return shared


def _common(one: Sequence[int], other: Sequence[int], most: int) -> int:
    different = np.flatnonzero(np.not_equal(one[:most], other[:most]))
    return int(different[0]) if len(different) else max(most, 0)


def sequence_starts(tokens: Ints, shared: Ints, limit: float) -> Bools:
    """Whether a row begins a sequence, `(rows,)`: it shares nothing, or the sequence would exceed `limit` tokens.

    Args:
        tokens: tokens of each row by itself.
        shared: what `shared_tokens` gives.
        limit: tokens of a sequence; a row that is longer by itself is a sequence.
    """
    starts = shared == 0
    length = beginning = count = 0
    for place in np.flatnonzero(~starts):
        if starts[place - 1]:
            length, beginning, count = int(tokens[place - 1]), int(tokens[place - 1]), 1
        # All of them share the least that two neighbours share.
        less = min(beginning, int(shared[place]))
        longer = length + (beginning - less) * (count - 1) + int(tokens[place]) - less
        if longer > limit:
            starts[place] = True
        else:
            length, beginning, count = longer, less, count + 1
    return starts


def computed_tokens(tokens: Ints, shared: Ints, starts: Bools) -> Ints:
    """Tokens that each row adds to its sequence, `(rows,)`: all of the first one, of the others what is not shared."""
    if not len(tokens):
        return tokens
    begins = np.flatnonzero(starts)
    sequence = np.cumsum(starts) - 1
    least = np.minimum.reduceat(np.where(starts, np.iinfo(np.int64).max, shared), begins)
    return np.where(starts, tokens, tokens - least[sequence])


def branched(rows: Sequence[EncodedRow], index: Ints, limit: float) -> list[Branched]:
    """The rows in order as sequences; neighbours of one example are branches of one sequence.

    Args:
        rows: tokens of the rows.
        index: which example each is a row of.
        limit: tokens of a sequence; more branches go into the next one, which has the shared tokens again.
    """
    shared = shared_tokens(rows, index)
    starts = sequence_starts(np.array([len(row.input_ids) for row in rows], dtype=np.int64), shared, limit)
    begins = np.flatnonzero(starts)
    return [
        Branched(tuple(rows[begin:end]), int(shared[begin + 1 : end].min()) if end - begin > 1 else 0)
        for begin, end in zip(begins.tolist(), [*begins.tolist(), len(rows)][1:], strict=True)
    ]
