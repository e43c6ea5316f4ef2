"""Group drawn rows into forward passes and optimizer steps; rows of similar length are batched to save padding."""

import math
from dataclasses import dataclass

import numpy as np

from gcsl_cli.data.arrays import Ints
from gcsl_cli.training.branches import computed_tokens, sequence_starts


@dataclass(frozen=True, slots=True)
class Batching:
    """Size of an optimizer step and of a forward pass."""

    batch_size: int
    """Rows per optimizer step."""
    micro_batch_size: int
    """Rows per forward pass."""
    tokens_per_batch: int | None = None
    """Replaces both: maximum tokens per forward pass, including padding; a longer row gets its own pass."""
    batches_per_step: int = 1
    """Forward passes per optimizer step; only used with `tokens_per_batch`."""
    context: float = math.inf
    """Context length of the model in tokens."""

    @property
    def limit(self) -> float:
        """Maximum tokens of a sequence with several branches."""
        return min(self.context, self.tokens_per_batch or math.inf)

    @property
    def passes(self) -> int:
        """Forward passes per optimizer step."""
        return self.batches_per_step if self.tokens_per_batch else -(-self.batch_size // self.micro_batch_size)


def batches(
    sequence: Ints, tokens: Ints, shared: Ints, added: Ints, batching: Batching, generator: np.random.Generator
) -> tuple[Ints, Ints]:
    """Batch rows so that sequences of a step have similar lengths, with the steps in random order.

    Args:
        sequence: sequence number of each row, `(rows,)`.
        tokens: tokens of each row on its own, `(rows,)`.
        shared: tokens that each row shares with the one before it, `(rows,)`.
        added: tokens that each row adds to its sequence, `(rows,)`.
        batching: size of a step and of a forward pass.
        generator: shuffles the steps.

    Returns:
        Row indices in their new order, and the number of rows in each forward pass.
    """
    lengths = np.bincount(sequence - sequence[0], weights=added)[sequence - sequence[0]]
    order = np.argsort(lengths, kind="stable")
    if not batching.tokens_per_batch:
        steps = order.reshape(-1, batching.batch_size)
        whole, rest = divmod(batching.batch_size, batching.micro_batch_size)
        sizes = [batching.micro_batch_size] * whole + [rest] * (rest > 0)
        return generator.permutation(steps).reshape(-1), np.tile(sizes, len(steps))
    starts = sequence_starts(tokens[order], np.where(np.diff(order, prepend=-2) == 1, shared[order], 0), batching.limit)
    pass_starts = _pass_starts(np.add.reduceat(added[order], np.flatnonzero(starts)), batching.tokens_per_batch)
    passes = np.split(order, np.flatnonzero(starts)[pass_starts[1:]])
    _split_largest(passes, batching.batches_per_step)
    count = len(passes) // batching.batches_per_step
    steps_in_order = generator.permutation(count)
    each = range(batching.batches_per_step)
    chosen = [passes[step * batching.batches_per_step + number] for step in steps_in_order.tolist() for number in each]
    return np.concatenate([*chosen, order[:0]]), np.array([len(rows) for rows in chosen], dtype=np.int64)


def _pass_starts(lengths: Ints, max_tokens: int) -> Ints:
    """First sequence of each pass if passes are filled in order up to `max_tokens`, padded to the longest sequence."""
    starts, longest = [0], 0
    for index, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if index > starts[-1] and longest * (index + 1 - starts[-1]) > max_tokens:
            starts.append(index)
            longest = length
    return np.array(starts)


def _split_largest(passes: list[Ints], count: int) -> None:
    """Halve the pass with the most rows until the number of passes is a multiple of `count` or all have one row."""
    while len(passes) % count:
        largest = max(range(len(passes)), key=lambda index: len(passes[index]))
        half = len(passes[largest]) // 2
        if not half:
            return
        passes[largest : largest + 1] = [passes[largest][:half], passes[largest][half:]]


def added_tokens(order: Ints, sizes: Ints, tokens: Ints, shared: Ints, limit: float) -> Ints:
    """Tokens that each row adds in the final order; tokens shared across two passes are computed in both."""
    starts_pass = np.zeros(len(order), dtype=np.bool_)
    starts_pass[np.cumsum(sizes) - sizes] = True
    still_shared = np.where((np.diff(order, prepend=-2) == 1) & ~starts_pass, shared[order], 0)
    return computed_tokens(tokens[order], still_shared, sequence_starts(tokens[order], still_shared, limit))
