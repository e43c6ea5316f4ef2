"""Group drawn rows into forward passes and optimizer steps; rows of similar length are batched to save padding."""

import math
from dataclasses import dataclass

import numpy as np

from gcsl_cli.data.arrays import Bools, Ints
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


@dataclass(frozen=True, slots=True)
class Measured:
    """Token counts of drawn pairs. A pair packs one row, or two: the row and its copy under a goal that it misses."""

    supervised: Ints
    """Supervised tokens of each pair, `(pairs,)`."""
    pair: Ints
    """Pair of each row and copy, in the order of `branches.packing_order`, `(rows,)`."""
    copy: Bools
    """Whether each is a copy, `(rows,)`."""
    tokens: Ints
    """Tokens of each on its own, `(rows,)`."""
    shared: Ints
    """Tokens that each shares with the one before it, `(rows,)`."""
    apart: bool
    """Copies follow all rows of a forward pass; otherwise each follows its row, to share its prompt."""

    @staticmethod
    def of_rows(tokens: Ints, supervised: Ints, shared: Ints) -> "Measured":
        """Pairs without copies; every array is `(pairs,)`."""
        index = np.arange(len(tokens))
        return Measured(supervised, index, np.zeros(len(index), dtype=np.bool_), tokens, shared, apart=False)

    def added(self, order: Ints, limit: float, sizes: Ints | None = None) -> Ints:
        """Tokens that each pair adds to its sequences, `(len(order),)`.

        Args:
            order: the pairs in their new order; those left out are not counted.
            limit: maximum tokens of a sequence.
            sizes: pairs of each forward pass; `None`: one pass. Tokens shared across two passes are computed in both.
        """
        place, _, added, _ = self.packed(order, limit, sizes)
        return np.bincount(place, weights=added, minlength=len(order)).astype(np.int64)

    def packed(self, order: Ints, limit: float, sizes: Ints | None = None) -> tuple[Ints, Bools, Ints, Bools]:
        """Pack the rows and copies of the pairs; arguments as in `added`.

        Returns:
            Of each row or copy in packing order: the place of its pair in `order`, whether it starts a sequence, the
            tokens that it adds, and whether it is a copy.
        """
        places = np.full(len(self.supervised), -1)
        places[order] = np.arange(len(order))
        index = np.flatnonzero(places[self.pair] >= 0)
        of_place = np.zeros(len(order), dtype=np.int64) if sizes is None else np.repeat(np.arange(len(sizes)), sizes)
        place, copy = places[self.pair[index]], self.copy[index]
        passes = of_place[place]
        packing = np.lexsort((place, copy, passes) if self.apart else (copy, place, passes))
        index, place, passes = index[packing], place[packing], passes[packing]
        still_adjacent = (np.diff(index, prepend=-2) == 1) & (np.diff(passes, prepend=-1) == 0)
        shared = np.where(still_adjacent, self.shared[index], 0)
        starts = sequence_starts(self.tokens[index], shared, limit)
        return place, starts, computed_tokens(self.tokens[index], shared, starts), copy[packing]


def batches(
    sequence: Ints, measured: Measured, batching: Batching, generator: np.random.Generator
) -> tuple[Ints, Ints]:
    """Batch pairs so that sequences of a step have similar lengths, with the steps in random order.

    Args:
        sequence: sequence number of each pair, `(pairs,)`; of the first pairs of `measured`, if it has more.
        measured: token counts.
        batching: size of a step and of a forward pass.
        generator: shuffles the steps.

    Returns:
        Pair indices in their new order, and the number of pairs in each forward pass.
    """
    order = np.arange(len(sequence))
    place, _, added, copy = measured.packed(order, batching.limit)
    counted = ~copy | (not measured.apart)
    totals = np.bincount(sequence[place[counted]] - sequence[0], weights=added[counted])
    order = np.argsort(totals[sequence - sequence[0]], kind="stable")
    if not batching.tokens_per_batch:
        steps = order.reshape(-1, batching.batch_size)
        whole, rest = divmod(batching.batch_size, batching.micro_batch_size)
        sizes = [batching.micro_batch_size] * whole + [rest] * (rest > 0)
        return generator.permutation(steps).reshape(-1), np.tile(sizes, len(steps))
    place, starts, added, copy = measured.packed(order, batching.limit)
    # A forward pass can begin at a pair whose row starts a sequence; copies stay in the pass of their row.
    begins = np.sort(place[starts & ~copy])
    block = np.searchsorted(begins, place[starts], side="right") - 1
    longest, count = np.zeros(len(begins), dtype=np.int64), np.bincount(block, minlength=len(begins))
    np.maximum.at(longest, block, np.add.reduceat(added, np.flatnonzero(starts)))
    pass_starts = _pass_starts(longest, count, batching.tokens_per_batch)
    passes = np.split(order, begins[pass_starts[1:]])
    _split_largest(passes, batching.batches_per_step)
    total = len(passes) // batching.batches_per_step
    steps_in_order = generator.permutation(total)
    each = range(batching.batches_per_step)
    chosen = [passes[step * batching.batches_per_step + number] for step in steps_in_order.tolist() for number in each]
    return np.concatenate([*chosen, order[:0]]), np.array([len(pairs) for pairs in chosen], dtype=np.int64)


def _pass_starts(longest: Ints, count: Ints, max_tokens: int) -> Ints:
    """First block of each pass if passes are filled in order up to `max_tokens`, padded to the longest sequence.

    A block is `count` sequences that stay together, the longest of which has `longest` tokens.
    """
    starts, width, sequences = [0], 0, 0
    for index, (length, more) in enumerate(zip(longest.tolist(), count.tolist(), strict=True)):
        width, sequences = max(width, length), sequences + more
        if index > starts[-1] and width * sequences > max_tokens:
            starts.append(index)
            width, sequences = length, more
    return np.array(starts)


def _split_largest(passes: list[Ints], count: int) -> None:
    """Halve the pass with the most pairs until the number of passes is a multiple of `count` or all have one pair."""
    while len(passes) % count:
        largest = max(range(len(passes)), key=lambda index: len(passes[index]))
        half = len(passes[largest]) // 2
        if not half:
            return
        passes[largest : largest + 1] = [passes[largest][:half], passes[largest][half:]]
