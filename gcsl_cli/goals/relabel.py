"""Hindsight relabelling: turn scores into (row, level) index pairs. Goal text is rendered later, when rows are read.

Scores 0.1, 0.9, 0.5 and levels 0.1, 0.5 give the pairs (0, 0), (1, 0), (1, 1), (2, 0), (2, 1): a row is an example of
every level that it reaches (beyond-threshold goals, GCSL-bey, arXiv 2605.16345).
"""

import numpy as np

from gcsl_cli.data.arrays import Bools, Floats, Ints
from gcsl_cli.errors import DataError


def highest_reached(scores: Floats, levels: Floats) -> Ints:
    """Index of the highest level that each score reaches, `(rows,)`; a score reaches a level if `score >= level`.

    Raises:
        DataError: a score is below the lowest level.
    """
    highest = np.searchsorted(levels, scores, side="right") - 1
    if len(highest) and highest.min() < 0:
        row = int(highest.argmin())
        raise DataError(f"Row {row + 1} has the score {scores[row]:g}, below the lowest level {levels[0]:g}.")
    return highest.astype(np.int64)


def highest_within_prompt(scores: Floats, prompts: Ints, quantiles: Floats) -> Ints:
    """Index of the highest of the ascending `quantiles` that each row reaches among the rows of its prompt, `(rows,)`.

    A row reaches quantile q if at least a share q of the prompt's other rows has lower scores. So the better of two
    rows reaches 1, rows with equal scores do not beat each other, and a prompt's only row reaches just 0.
    """
    order = np.lexsort((scores, prompts))
    prompt, score = prompts[order], scores[order]
    positions = np.arange(len(order))
    new_prompt = np.r_[True, prompt[1:] != prompt[:-1]]
    new_score = new_prompt | np.r_[True, score[1:] != score[:-1]]
    start = np.maximum.accumulate(np.where(new_prompt, positions, 0))
    below = np.maximum.accumulate(np.where(new_score, positions, 0)) - start
    groups = np.cumsum(new_prompt) - 1
    others = np.bincount(groups)[groups] - 1
    # Without rounding, 7 of 10 would not equal 0.7.
    beaten = np.round(np.divide(below, others, out=np.zeros(len(order)), where=others > 0), 9)
    highest = np.empty(len(order), dtype=np.int64)
    highest[order] = np.searchsorted(np.round(quantiles, 9), beaten, side="right") - 1
    return highest


def unbeaten_within_prompt(scores: Floats, prompts: Ints) -> Bools:
    """Whether no row of the same prompt has a higher score, `(rows,)`: the best one, ties for it, and single rows."""
    best = np.full(int(prompts.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(best, prompts, scores)
    return np.asarray(scores == best[prompts])


def reached_pairs(highest: Ints) -> tuple[Ints, Ints]:
    """All (row, level) pairs with the level reached, rows in order and levels ascending: two arrays `(pairs,)`."""
    counts = highest + 1
    rows = np.repeat(np.arange(len(highest)), counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    return rows, np.arange(len(rows)) - starts


def missed_levels(
    highest: Ints, levels: Floats, best: int, *, rule: str, gap: float, generator: np.random.Generator
) -> Ints:
    """Choose a level that each row misses, `(rows,)`; -1 for rows that miss none.

    Args:
        highest: index of the highest level that each row reaches, `(rows,)`.
        levels: ascending levels, `(levels,)`.
        best: index of the best level that can be missed.
        rule: `best` to choose that level, `sample` to draw one of the missed levels uniformly.
        gap: smallest distance between the highest level that a row reaches and one that it misses.
        generator: draws under `sample`.
    """
    # Without rounding, 0.1 + 0.2 would lie above 0.3.
    above = np.searchsorted(np.round(levels, 9), np.round(levels[highest] + gap, 9))
    first = np.maximum(highest + 1, above)
    chosen = np.full(len(highest), best) if rule == "best" else generator.integers(np.minimum(first, best), best + 1)
    return np.where(first <= best, chosen, -1)


def sampled_levels(highest: Ints, generator: np.random.Generator) -> Ints:
    """Draw one of the reached levels of each row uniformly, `(rows,)`."""
    return generator.integers(0, highest + 1)


def rows_of_bins(bins: Ints, bin_of_row: Ints, generator: np.random.Generator) -> Ints:
    """Draw a row from each of `bins`, `(draws,)`; the rows of a bin are used in random order before any is repeated.

    `bin_of_row` is the bin that each row is in, `(rows,)`; each of `bins` has a row.
    """
    sizes = np.bincount(bin_of_row)
    members = np.split(np.argsort(bin_of_row, kind="stable"), np.cumsum(sizes)[:-1])
    places = np.split(np.argsort(bins, kind="stable"), np.cumsum(np.bincount(bins, minlength=len(sizes)))[:-1])
    rows = np.empty(len(bins), dtype=np.int64)
    for here, of_bin in zip(places, members, strict=True):
        if len(here):
            rounds = -(-len(here) // len(of_bin))
            rows[here] = np.concatenate([generator.permutation(of_bin) for _ in range(rounds)])[: len(here)]
    return rows
