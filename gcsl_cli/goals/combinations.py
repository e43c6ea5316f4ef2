"""Combinations: a goal with several parts, as the index of a level for each part, -1 for a part that is left open.

With three levels of helpfulness and two of verbosity, (2, 0) asks for the best helpfulness and the lowest level of
verbosity, and (2, -1) for helpfulness alone. A plan has one number for each: 2 + 1 in base 4 and 0 + 1 in base 3, so
(2, 0) is (2 + 1) * 3 + (0 + 1) = 10. The combination of open parts only is no goal, NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gcsl_cli.data.arrays import Bools, Floats, Ints
from gcsl_cli.goals.relabel import rows_of_bins

MOST_CELLS = 4096
"""Combinations up to which all of them are enumerated; of more, only those that a row has as its own."""
MOST_REPEATS = 10
"""Draws of a row in an epoch that balancing may need, on average over the rows that reach a combination."""


def numbered(indices: Ints, counts: Sequence[int]) -> Floats:
    """The number of each combination `(n, parts)`, of parts with `counts` levels; NaN for no goal, `(n,)`."""
    codes = _codes(indices, counts)
    return np.where(codes == 0, np.nan, codes.astype(np.float64))


def combination(goals: Floats, counts: Sequence[int]) -> Ints:
    """The combination of each number, `(n, parts)`; the reverse of `numbered`."""
    codes = np.nan_to_num(goals).astype(np.int64)
    found = np.empty((len(codes), len(counts)), dtype=np.int64)
    for part in range(len(counts) - 1, -1, -1):
        codes, found[:, part] = np.divmod(codes, counts[part] + 1)
    return found - 1


def distinct(indices: Ints, counts: Sequence[int]) -> tuple[Ints, Ints, Ints]:
    """The distinct combinations `(m, parts)`, which of them each row has `(n,)`, and how many rows have each `(m,)`."""
    codes, which, rows = np.unique(_codes(indices, counts), return_inverse=True, return_counts=True)
    return combination(codes.astype(np.float64), counts), which.astype(np.int64), rows.astype(np.int64)


def below(highest: Ints, generator: np.random.Generator) -> Ints:
    """Draw for each row a combination that it reaches: of each part a level up to its highest, uniformly."""
    drawn = generator.integers(0, np.maximum(highest, 0) + 1)
    return np.where(highest < 0, -1, drawn).astype(np.int64)


def left_open(indices: Ints, share: float, generator: np.random.Generator) -> Ints:
    """The combinations with each part left open with the probability `share`, but never all that a row knows."""
    drawn = generator.random(indices.shape)
    last = np.argmax(np.where(indices < 0, -1.0, drawn), axis=1)
    kept = (drawn >= share) | (np.arange(indices.shape[1]) == last[:, None])
    return np.where(kept, indices, -1)


def reaches(own: Ints, asked: Ints) -> Bools:
    """Whether each combination `(n, parts)` reaches the one that is asked for, `(parts,)`, in all parts of that."""
    return np.asarray(((asked < 0) | (own >= asked)).all(axis=1))


@dataclass(frozen=True)
class Table:
    """Which combinations the rows have, and which they reach."""

    highest: Ints
    """The highest level of each part that each row reaches, -1 where its score is not known, `(rows, parts)`."""
    counts: tuple[int, ...]
    """Levels of each part."""
    exact: bool = False
    """A row is an example of its own combination only, not of those that it reaches."""

    @cached_property
    def own(self) -> tuple[Ints, Ints, Ints]:
        """The combinations that rows have as their own, see `distinct`."""
        return distinct(self.highest, self.counts)

    @property
    def small(self) -> bool:
        """Whether all combinations can be enumerated."""
        return int(np.prod([count + 1.0 for count in self.counts])) <= MOST_CELLS

    @cached_property
    def reached(self) -> Ints | None:
        """How many rows reach each combination, by number, 0 for no goal, `(combinations,)`; `None` if too many.

        An open part is reached by all rows, also by those whose score is not known.
        """
        if not self.small:
            return None
        combinations, _, rows = self.own
        cells = np.zeros([count + 1 for count in self.counts], dtype=np.int64)
        cells[tuple((combinations + 1).T)] = rows
        for axis in range(cells.ndim):
            # Level k is reached by the rows of level k and above; cell 0 becomes the open part, all rows.
            cells = np.flip(np.cumsum(np.flip(cells, axis), axis), axis)
        flat = cells.reshape(-1)
        flat[0] = 0
        return flat

    def is_reached(self, indices: Ints) -> Bools:
        """Whether any row reaches each combination `(n, parts)`; all are taken to be if there are too many to know."""
        if self.reached is None:
            return np.ones(len(indices), dtype=np.bool_)
        return np.asarray(self.reached[_codes(indices, self.counts)] > 0)

    @cached_property
    def goals(self) -> Ints:
        """The combinations to draw from, `(goals, parts)`: exactly those of the rows, or all that rows reach.

        A part is open in them only where a row's score is not known.
        """
        own = self.own[0]
        if self.exact or not self.small:
            return own
        every = np.concatenate([_grid(pattern, self.counts) for pattern in np.unique(own >= 0, axis=0)])
        return every[[bool(_examples(own, goal).any()) for goal in every]]

    @cached_property
    def having(self) -> list[Ints]:
        """The own combinations whose rows are examples of each goal: they know the same parts, and reach or have it."""
        own = self.own[0]
        if self.exact:
            return [np.array([place]) for place in range(len(own))]
        return [np.flatnonzero(_examples(own, goal)) for goal in self.goals]

    def balanced(self, count: int, generator: np.random.Generator) -> tuple[Ints, Ints]:
        """Draw `count` rows and goals in random order, every combination that exists equally often.

        Rows are drawn from all that are examples of the combination; those of one own combination are used up before
        one is repeated. A combination of few rows gets at most `MOST_REPEATS` draws of each. Rows that lack a score get
        as many draws as they are. With too many combinations to enumerate, rows come equally often.

        Returns:
            Rows `(count,)` and combinations `(count, parts)`.
        """
        own, which, sizes = self.own
        if len(own) > MOST_CELLS:
            rows = generator.permutation(len(self.highest))[:count]
            return rows, self.highest[rows] if self.exact else below(self.highest[rows], generator)
        times = self._times(count, generator)
        bins = np.concatenate(
            [
                generator.choice(found, size=number, p=sizes[found] / sizes[found].sum())
                for found, number in zip(self.having, times.tolist(), strict=True)
            ]
        )
        order = generator.permutation(len(bins))
        return rows_of_bins(bins[order], which, generator), np.repeat(self.goals, times, axis=0)[order]

    def _times(self, count: int, generator: np.random.Generator) -> Ints:
        """How often each of the goals is drawn, `(goals,)`."""
        own, _, sizes = self.own
        times = np.zeros(len(self.goals), dtype=np.int64)
        most = np.array([sizes[bins].sum() for bins in self.having], dtype=np.float64) * MOST_REPEATS
        patterns = np.unique(own >= 0, axis=0)
        rows = np.array([sizes[((own >= 0) == pattern).all(axis=1)].sum() for pattern in patterns], dtype=np.float64)
        for pattern, number in zip(patterns, _whole(count * rows / rows.sum(), generator).tolist(), strict=True):
            goals = ((self.goals >= 0) == pattern).all(axis=1)
            times[goals] = _shared_out(number, most[goals], generator)
        return times


def _examples(own: Ints, goal: Ints) -> Bools:
    """Which own combinations `(n, parts)` know the parts of a goal and no others, and reach them."""
    return np.asarray(((own >= 0) == (goal >= 0)).all(axis=1) & reaches(own, goal))


def _codes(indices: Ints, counts: Sequence[int]) -> Ints:
    codes = np.zeros(len(indices), dtype=np.int64)
    for part, count in enumerate(counts):
        codes = codes * (count + 1) + indices[:, part] + 1
    return codes


def _grid(known: Bools, counts: Sequence[int]) -> Ints:
    """All combinations of the parts that are `known`, `(n, parts)`; the other parts are open."""
    ranges = [np.arange(count) if here else np.array([-1]) for count, here in zip(counts, known, strict=True)]
    return np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, len(counts)).astype(np.int64)


def _shared_out(count: int, most: Floats, generator: np.random.Generator) -> Ints:
    """Share `count` draws out equally, but at most `most` for each, as far as that is possible, `(goals,)`."""
    shares = np.minimum(most, count / len(most))
    open_ = most > shares
    while open_.any() and count - shares.sum() > 1e-6:
        shares[open_] = np.minimum(most, shares + (count - shares.sum()) / open_.sum())[open_]
        open_ = most > shares + 1e-9
    return _whole(shares * count / shares.sum(), generator)


def _whole(shares: Floats, generator: np.random.Generator) -> Ints:
    """Round shares to whole numbers with the same sum; who gets what is left over is drawn."""
    whole = np.floor(np.round(shares, 9)).astype(np.int64)
    rest = round(float(shares.sum())) - int(whole.sum())
    return whole + np.bincount(generator.permutation(len(shares))[:rest], minlength=len(shares))
