"""Hindsight relabelling: from scores to (row, level) indices, vectorised; text is rendered late.

Scores 0.1, 0.9, 0.5 and levels 0.1, 0.5 give the pairs (0, 0), (1, 0), (1, 1), (2, 0), (2, 1): a row serves every level
that it reaches (beyond-threshold goals, GCSL-bey, arXiv 2605.16345).
"""

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def highest_reached(scores: Floats, levels: Floats) -> Ints:
    """Index of the highest level that each score reaches, `(rows,)`; reaching is `score >= level`.

    Raises:
        DataError: a score is below the lowest level.
    """
    highest = np.searchsorted(levels, scores, side="right") - 1
    if len(highest) and highest.min() < 0:
        row = int(highest.argmin())
        raise DataError(f"Row {row + 1} has the score {scores[row]:g}, below the lowest level {levels[0]:g}.")
    return highest.astype(np.int64)


def reached_pairs(highest: Ints) -> tuple[Ints, Ints]:
    """All (row, level) pairs of beyond-threshold goals, rows in order and levels ascending: two arrays `(pairs,)`."""
    counts = highest + 1
    rows = np.repeat(np.arange(len(highest)), counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    return rows, np.arange(len(rows)) - starts


def sampled_levels(highest: Ints, generator: np.random.Generator) -> Ints:
    """One reached level a row, uniformly drawn, `(rows,)`."""
    return generator.integers(0, highest + 1)
