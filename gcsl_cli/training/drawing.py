"""Drawing rows and goals: the (row, level) pairs of one epoch after another, from the seed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.relabel import reached_pairs, sampled_levels

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Drawing:
    """How rows and goals are drawn."""

    formulation: str
    """`threshold` or `exact`."""
    pairing: str
    """`all` or `sample`."""
    balance: str
    """`none` or `levels`."""
    dropout: float = 0.0
    """Share of rows without a goal."""
    together: bool = False
    """The goals of a row follow one another, so that what they share can be computed once."""
    weighting: str = "pairs"
    """`pairs`: a row counts once for each of its goals; `rows`: once in all."""
    rows_per_prompt: int = 1
    """Pairs of one prompt that follow one another at most, so that the prompt can be computed once."""
    goal_first: bool = False
    """The goal stands before the prompt, so only pairs of one goal share it."""

    def shared_text(self, prompts: Ints, levels: Ints) -> Ints:
        """A number for what pairs read first, `(pairs,)`: the prompt, or a level (-1: none) and the prompt."""
        return prompts * (int(levels.max(initial=0)) + 2) + levels if self.goal_first else prompts


def draw_pairs(highest: Ints, drawing: Drawing, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """The (row, level) pairs of one epoch in random order, two arrays `(pairs,)`.

    `highest` is the highest level that each row reaches. Exact goals pair each row with that level. Threshold goals
    take all reached pairs (`all`) or one reached level a row (`sample`). With `balance=levels` as many pairs are drawn
    as without it, so that every level gets an equal share, and within a level every bin of rows (those with the same
    highest level) that serves it gets an equal share, as ALT does for its bins; the rows of a bin go round in random
    order, so none comes twice before all have come once.
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
        place, levels = reached_pairs(highest[rows])
        return rows[place], levels
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
    asked = bins if exact else np.arange(int(bins[-1]) + 1)
    # Round after round of all levels, each in random order: equal shares wherever the budget cuts the epoch off.
    rounds = np.tile(asked, (-(-count // len(asked)), 1))
    levels = generator.permuted(rounds, axis=1).reshape(-1)[:count]
    first = np.searchsorted(bins, levels)
    chosen = levels if exact else bins[generator.integers(first, len(bins))]
    return _rows_of_bins(chosen, highest, generator), levels


def _balanced_rows(highest: Ints, count: int, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """The same shares, with the levels of a row one after another.

    A round goes from the best level down and has each level once. The row that serves a level serves the next lower
    one too, unless a row that reaches no more than that takes over: with chance 1/n where n bins reach the level, so
    that each of the n has an equal share of it.
    """
    bins = np.unique(highest)
    levels = np.arange(int(bins[-1]) + 1)
    reaching = len(bins) - np.searchsorted(bins, levels)
    drawn = generator.random((-(-count // len(levels)), len(levels)))
    takes_over = (drawn < 1 / reaching) & np.isin(levels, bins)
    serving = np.minimum.accumulate(np.where(takes_over, levels, levels[-1])[:, ::-1], axis=1).reshape(-1)[:count]
    level = np.tile(levels[::-1], len(drawn))[:count]
    begins = serving == level
    rows = _rows_of_bins(serving[begins], highest, generator)
    return rows[np.cumsum(begins) - 1], level


def _rows_of_bins(chosen: Ints, highest: Ints, generator: np.random.Generator) -> Ints:
    """A row of each chosen bin; the rows of a bin go round in random order."""
    rows = np.empty(len(chosen), dtype=np.int64)
    for bin_ in np.unique(chosen):
        places = np.flatnonzero(chosen == bin_)
        members = np.flatnonzero(highest == bin_)
        times = -(-len(places) // len(members))
        drawn = np.concatenate([generator.permutation(members) for _ in range(times)])
        rows[places] = drawn[: len(places)]
    return rows


def _side_by_side(texts: Ints, most: int, generator: np.random.Generator) -> Ints:
    """An order in which up to `most` pairs of one text follow one another; such groups stand in random order."""
    order = np.argsort(texts, kind="stable")
    first = np.flatnonzero(np.diff(texts[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(first, np.diff(np.r_[first, len(order)]))
    groups = np.split(order, np.flatnonzero(place % most == 0)[1:])
    return np.concatenate([groups[chosen] for chosen in generator.permutation(len(groups)).tolist()])


def planned_pairs(highest: Ints, drawing: Drawing) -> int:
    """How many pairs one epoch has."""
    every = drawing.formulation == "threshold" and drawing.pairing == "all"
    return int((highest + 1).sum()) if every else len(highest)


def passed_pairs(pairs: int, epochs: float) -> float:
    """How many pairs `epochs` passes have; infinite passes have infinitely many."""
    if math.isinf(epochs):
        return math.inf
    whole = int(epochs)
    return pairs * whole + round(pairs * (epochs - whole))


def passes(
    highest: Ints, prompts: Ints, drawing: Drawing, epochs: float, generator: np.random.Generator
) -> Iterator[tuple[Ints, Ints]]:
    """The (row, level) pairs of one epoch after another, the last one perhaps a part of one."""
    left = epochs
    while left > 1e-9 and len(highest):
        rows, levels = draw_pairs(highest, drawing, generator)
        if drawing.rows_per_prompt > 1:
            order = _side_by_side(drawing.shared_text(prompts[rows], levels), drawing.rows_per_prompt, generator)
            rows, levels = rows[order], levels[order]
        count = round(len(rows) * min(1.0, left))
        yield rows[:count], levels[:count]
        left -= 1
