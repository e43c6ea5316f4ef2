"""Draw the (row, level) pairs of each epoch from a seeded generator."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gcsl_cli.data.arrays import Bools, Floats, Ints
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.relabel import missed_levels, reached_pairs, rows_of_bins, sampled_levels


@dataclass(frozen=True, slots=True)
class Drawing:
    """Settings for drawing rows and goals."""

    formulation: str
    """`threshold` or `exact`."""
    pairing: str
    """`all` or `sample`."""
    balance: str
    """`none` or `levels`."""
    dropout: float = 0.0
    """Fraction of rows without a goal."""
    together: bool = False
    """Keep the goals of a row adjacent, so that their common prefix can be computed once."""
    weighting: str = "pairs"
    """`pairs`: a row counts once per goal; `rows`: once in total."""
    rows_per_prompt: int = 1
    """Maximum number of adjacent pairs of one prompt, so that the prompt can be computed once."""
    goal_first: bool = False
    """The goal precedes the prompt, so only pairs with the same goal share the prompt."""
    missed: str = "none"
    """Copies of rows under a goal that they miss: `best`, `sample` (any such goal), or `none`."""
    missed_gap: float = 0.0
    """Smallest distance between the highest level that a row reaches and one that it misses."""

    def shared_text(self, prompts: Ints, levels: Ints) -> Ints:
        """Number the text each pair starts with, `(pairs,)`: the prompt, or the level (-1: none) and the prompt."""
        return prompts * (int(levels.max(initial=0)) + 2) + levels if self.goal_first else prompts


def draw_pairs(highest: Ints, drawing: Drawing, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw the (row, level) pairs of one epoch in random order: two arrays `(pairs,)`.

    `highest` is the index of the highest level that each row reaches. Exact goals pair each row with that level.
    Threshold goals use every level the row reaches (`pairing=all`) or draw one of them (`pairing=sample`).

    `balance=levels` draws the same number of pairs, but gives every level an equal share. Within a level, every bin of
    rows (rows with the same highest level) that reaches it gets an equal share, as ALT does for its bins. Rows of a bin
    are used in random order without replacement, starting over when all have been used.

    Raises:
        ConfigError: `formulation`, `pairing` or `balance` is unknown.
    """
    for key, value, allowed in (
        ("formulation", drawing.formulation, ("threshold", "exact", "none")),
        ("pairing", drawing.pairing, ("all", "sample", "none")),
        ("balance", drawing.balance, ("none", "levels")),
    ):
        if value not in allowed:
            raise ConfigError(f"goal.{key}={value}: unknown; one of {', '.join(allowed)}.")
    exact, every = drawing.formulation == "exact", drawing.pairing == "all"
    if drawing.balance == "levels":
        count = len(highest) if exact or not every else int((highest + 1).sum())
        if drawing.together:
            return _balanced_rows(highest, count, generator)
        return _balanced_pairs(highest, count, exact, generator)
    if drawing.together:
        rows = generator.permutation(len(highest))
        index, levels = reached_pairs(highest[rows])
        return rows[index], levels
    if exact or drawing.formulation == "none":
        rows, levels = np.arange(len(highest)), highest
    elif every:
        rows, levels = reached_pairs(highest)
    else:
        rows, levels = np.arange(len(highest)), sampled_levels(highest, generator)
    order = generator.permutation(len(rows))
    return rows[order], levels[order]


def _balanced_pairs(highest: Ints, count: int, exact: bool, generator: np.random.Generator) -> tuple[Ints, Ints]:
    bins = np.unique(highest)
    drawn = bins if exact else np.arange(int(bins[-1]) + 1)
    # Rounds of all levels, each in random order, keep the shares equal wherever the budget ends.
    rounds = np.tile(drawn, (-(-count // len(drawn)), 1))
    levels = generator.permuted(rounds, axis=1).reshape(-1)[:count]
    first = np.searchsorted(bins, levels)
    chosen = levels if exact else bins[generator.integers(first, len(bins))]
    return rows_of_bins(chosen, highest, generator), levels


def _balanced_rows(highest: Ints, count: int, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw balanced pairs with the same shares as `_balanced_pairs`, keeping the levels of a row adjacent.

    A round visits every level once, from the best down. Each level is paired with the row of the level above, or, with
    probability 1/n if n bins reach the level, with a new row whose highest level is this one. That gives each of the n
    bins an equal share of the level.
    """
    bins = np.unique(highest)
    levels = np.arange(int(bins[-1]) + 1)
    reaching = len(bins) - np.searchsorted(bins, levels)
    drawn = generator.random((-(-count // len(levels)), len(levels)))
    replaced = (drawn < 1 / reaching) & np.isin(levels, bins)
    serving = np.minimum.accumulate(np.where(replaced, levels, levels[-1])[:, ::-1], axis=1).reshape(-1)[:count]
    level = np.tile(levels[::-1], len(drawn))[:count]
    new_row = serving == level
    rows = rows_of_bins(serving[new_row], highest, generator)
    return rows[np.cumsum(new_row) - 1], level


def _grouped_order(texts: Ints, size: int, generator: np.random.Generator) -> Ints:
    """An order that keeps up to `size` pairs of one text adjacent and shuffles these groups."""
    order = np.argsort(texts, kind="stable")
    first = np.flatnonzero(np.diff(texts[order], prepend=-1))
    within = np.arange(len(order)) - np.repeat(first, np.diff(np.r_[first, len(order)]))
    groups = np.split(order, np.flatnonzero(within % size == 0)[1:])
    return np.concatenate([groups[chosen] for chosen in generator.permutation(len(groups)).tolist()])


def passed_pairs(pairs: int, epochs: float) -> float:
    """Number of pairs in `epochs` epochs of `pairs` pairs; may be infinite."""
    if math.isinf(epochs):
        return math.inf
    whole = int(epochs)
    return pairs * whole + round(pairs * (epochs - whole))


def epochs_of(
    draw: Callable[[np.random.Generator], tuple[Ints, Ints]],
    shared_text: Callable[[Ints, Ints], Ints],
    drawing: Drawing,
    epochs: float,
    generator: np.random.Generator,
) -> Iterator[tuple[Ints, Ints]]:
    """Yield the pairs that `draw` draws for each epoch, those of one text adjacent if the drawing says so."""
    remaining = epochs
    while remaining > 1e-9:
        rows, levels = draw(generator)
        if drawing.rows_per_prompt > 1:
            order = _grouped_order(shared_text(rows, levels), drawing.rows_per_prompt, generator)
            rows, levels = rows[order], levels[order]
        count = round(len(rows) * min(1.0, remaining))
        yield rows[:count], levels[:count]
        remaining -= 1


class GoalSource(Protocol):
    """Where a plan gets the goals of rows from. A pair is a row and the number of a goal, -1 for none."""

    @property
    def drawing(self) -> Drawing:
        """Settings for drawing rows and goals."""

    @property
    def pairs(self) -> int:
        """Number of pairs per epoch."""

    @property
    def goals_of_rows(self) -> Ints:
        """Number of goals of each row, less one, `(rows,)`."""

    def passes(self, epochs: float, generator: np.random.Generator) -> Iterator[tuple[Ints, Ints]]:
        """Yield the pairs of each epoch, two arrays `(pairs,)`; the last epoch may be partial."""

    def values(self, reached: Ints) -> Floats:
        """The goal of each pair, `(pairs,)`."""

    def missed(self, rows: Ints, reached: Ints, generator: np.random.Generator) -> Floats:
        """A goal that the row of each pair misses, NaN for none, `(pairs,)`."""

    def shared_text(self, rows: Ints, reached: Ints) -> Ints:
        """Number the text that each pair starts with, `(pairs,)`."""


@dataclass(frozen=True)
class LevelGoals:
    """The goals of rows with one score: the levels that they reach."""

    highest: Ints
    """Index of the highest level that each row reaches, `(rows,)`."""
    prompts: Ints
    """Prompt number of each row, `(rows,)`."""
    levels: Floats
    """The goals, `(levels,)`."""
    drawing: Drawing
    unbeaten: Bools | None = None
    """Rows that miss no goal, whatever they reach, `(rows,)`; `None`: no row is exempt."""

    @property
    def pairs(self) -> int:
        """Number of pairs per epoch."""
        every = self.drawing.formulation == "threshold" and self.drawing.pairing == "all"
        return int((self.highest + 1).sum()) if every else len(self.highest)

    @property
    def goals_of_rows(self) -> Ints:
        """A row has a goal for each level up to the highest that it reaches."""
        return self.highest

    def passes(self, epochs: float, generator: np.random.Generator) -> Iterator[tuple[Ints, Ints]]:
        """Yield the pairs of each epoch."""
        if not len(self.highest):
            return iter(())
        return epochs_of(
            lambda generator: draw_pairs(self.highest, self.drawing, generator),
            self.shared_text,
            self.drawing,
            epochs,
            generator,
        )

    def values(self, reached: Ints) -> Floats:
        """The level of each pair."""
        return self.levels[reached]

    def missed(self, rows: Ints, reached: Ints, generator: np.random.Generator) -> Floats:
        """Draw a level that the row of each pair misses, `(pairs,)`; NaN if there is none, or the row has no goal.

        A level that no row reaches cannot be missed: every row would be pushed away from it, and none towards it.
        """
        rule = self.drawing
        if rule.missed == "none":
            return np.full(len(rows), np.nan)
        best = int(self.highest.max())
        level = missed_levels(
            self.highest[rows], self.levels, best, rule=rule.missed, gap=rule.missed_gap, generator=generator
        )
        missing = (level >= 0) & (reached >= 0)
        if self.unbeaten is not None:
            missing &= ~self.unbeaten[rows]
        return np.where(missing, self.levels[level], np.nan)

    def shared_text(self, rows: Ints, reached: Ints) -> Ints:
        """See `Drawing.shared_text`."""
        return self.drawing.shared_text(self.prompts[rows], reached)
