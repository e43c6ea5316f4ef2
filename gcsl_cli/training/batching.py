"""From drawn rows to forward passes and optimizer steps: rows of similar length go together, to save padding."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.training.branches import computed_tokens, sequence_starts

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batching:
    """What makes an optimizer step and a forward pass."""

    batch_size: int
    """Rows an optimizer step."""
    micro_batch_size: int
    """Rows a forward pass."""
    tokens_per_batch: int | None = None
    """In place of both: tokens of a forward pass at most, padding counted; a row that is longer goes by itself."""
    batches_per_step: int = 1
    """Forward passes an optimizer step, with `tokens_per_batch`."""
    context: float = math.inf
    """Tokens that a sequence of several branches may have."""

    @property
    def limit(self) -> float:
        """Tokens that a sequence of several branches may have here."""
        return min(self.context, self.tokens_per_batch or math.inf)

    @property
    def passes(self) -> int:
        """Forward passes an optimizer step."""
        return self.batches_per_step if self.tokens_per_batch else -(-self.batch_size // self.micro_batch_size)


def batches(
    sequence: Ints, tokens: Ints, shared: Ints, added: Ints, batching: Batching, generator: np.random.Generator
) -> tuple[Ints, Ints]:
    """An order in which sequences of a step have similar lengths, the steps themselves in random order, and how many
    rows each forward pass takes.
    """
    lengths = np.bincount(sequence - sequence[0], weights=added)[sequence - sequence[0]]
    order = np.argsort(lengths, kind="stable")
    if not batching.tokens_per_batch:
        steps = order.reshape(-1, batching.batch_size)
        whole, rest = divmod(batching.batch_size, batching.micro_batch_size)
        sizes = [batching.micro_batch_size] * whole + [rest] * (rest > 0)
        return generator.permutation(steps).reshape(-1), np.tile(sizes, len(steps))
    starts = sequence_starts(tokens[order], np.where(np.diff(order, prepend=-2) == 1, shared[order], 0), batching.limit)
    begins = _filled(np.add.reduceat(added[order], np.flatnonzero(starts)), batching.tokens_per_batch)
    passes = np.split(order, np.flatnonzero(starts)[begins[1:]])
    _divide(passes, batching.batches_per_step)
    count = len(passes) // batching.batches_per_step
    steps_in_order = generator.permutation(count)
    each = range(batching.batches_per_step)
    chosen = [passes[step * batching.batches_per_step + place] for step in steps_in_order.tolist() for place in each]
    return np.concatenate([*chosen, order[:0]]), np.array([len(part) for part in chosen], dtype=np.int64)


def _filled(lengths: Ints, most: int) -> Ints:
    """Where passes begin when each takes sequences in order while they, padded to the longest, have `most` tokens."""
    begins, longest = [0], 0
    for place, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if place > begins[-1] and longest * (place + 1 - begins[-1]) > most:
            begins.append(place)
            longest = length
    return np.array(begins)


def _divide(passes: list[Ints], count: int) -> None:
    """Halve passes, the one with the most rows first, until their number is a multiple of `count`, where that goes."""
    while len(passes) % count:
        place = max(range(len(passes)), key=lambda index: len(passes[index]))
        half = len(passes[place]) // 2
        if not half:
            return
        passes[place : place + 1] = [passes[place][:half], passes[place][half:]]


def added_tokens(order: Ints, sizes: Ints, tokens: Ints, shared: Ints, limit: float) -> Ints:
    """Tokens that each row adds in the final order; what a row shares with one of another pass is computed again."""
    begins = np.zeros(len(order), dtype=np.bool_)
    begins[np.cumsum(sizes) - sizes] = True
    still = np.where((np.diff(order, prepend=-2) == 1) & ~begins, shared[order], 0)
    return computed_tokens(tokens[order], still, sequence_starts(tokens[order], still, limit))
