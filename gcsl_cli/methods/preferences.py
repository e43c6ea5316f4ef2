"""Preference pairs and labels out of graded rows; pure.

A prompt with the scores 0.1, 0.9 and 0.5: `best_worst` prefers row 1 to row 0, `adjacent` row 1 to row 2 and row 2 to
row 0, `all` has all three pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows of which the first is preferred to the second, two arrays `(pairs,)`, prompt after prompt."""

    chosen: Ints
    rejected: Ints

    def __len__(self) -> int:
        return len(self.chosen)


def preference_pairs(
    scores: Floats, prompts: Ints, *, pairs: str, margin: float, most: int | None, seed: int, least: int = 1
) -> Pairs:
    """Pairs of rows of one prompt whose scores differ, by at least `margin`.

    Args:
        scores: higher is better, `(rows,)`.
        prompts: a number for each row's prompt, `(rows,)`.
        pairs: `best_worst` (one pair a prompt), `adjacent` (neighbours in the order of the scores) or `all`.
        margin: smallest difference.
        most: of a prompt with more pairs, so many are drawn; `None`: all are taken.
        seed: of that draw.
        least: fewer pairs in all are an error.

    Raises:
        ConfigError: `pairs` is unknown.
        DataError: there are fewer than `least` pairs; says how many prompts have several grades.
    """
    if pairs not in ("best_worst", "adjacent", "all"):
        raise ConfigError(f"method.pairs={pairs}: unknown; one of best_worst, all, adjacent.")
    generator = np.random.default_rng(seed)
    chosen: list[Ints] = []
    rejected: list[Ints] = []
    for rows in _rows_of_prompts(scores, prompts):
        better, worse = _places(len(rows), pairs)
        difference = scores[rows[better]] - scores[rows[worse]]
        kept = np.flatnonzero((difference > 0) & (difference >= margin))
        if most is not None and len(kept) > most:
            kept = np.sort(generator.choice(kept, most, replace=False))
        chosen.append(rows[better[kept]])
        rejected.append(rows[worse[kept]])
    none = np.empty(0, dtype=np.int64)
    found = Pairs(np.concatenate([none, *chosen]), np.concatenate([none, *rejected]))
    if len(found) < least:
        raise DataError(_too_few(found, scores, prompts, margin, least))
    return found


def desirable(scores: Floats, threshold: float | None) -> Bools:
    """Whether each row is one to be learned, `(rows,)`: its score is at least `threshold`, by default the median.

    Raises:
        DataError: all rows are, or none is.
    """
    cut = float(np.median(scores)) if threshold is None else threshold
    labels = scores >= cut
    if labels.all() or not labels.any():
        raise DataError(
            f"{'All' if labels.all() else 'No'} rows have a score of at least {cut:g} (scores: {scores.min():g} to "
            f"{scores.max():g}): KTO needs both kinds. Give another method.threshold."
        )
    return np.asarray(labels)


def _rows_of_prompts(scores: Floats, prompts: Ints) -> Iterator[Ints]:
    """The rows of each prompt that has several, by ascending score."""
    order = np.lexsort((scores, prompts))
    starts = np.flatnonzero(np.r_[True, np.diff(prompts[order]) != 0])
    for rows in np.split(order, starts[1:]):
        if len(rows) > 1:
            yield rows


def _places(count: int, pairs: str) -> tuple[Ints, Ints]:
    """Places of the better and of the worse rows among `count` ascending ones."""
    if pairs == "best_worst":
        return np.array([count - 1]), np.array([0])
    if pairs == "adjacent":
        return np.arange(1, count), np.arange(count - 1)
    return np.tril_indices(count, -1)


def _too_few(found: Pairs, scores: Floats, prompts: Ints, margin: float, least: int) -> str:
    grades = np.unique(np.stack([prompts.astype(np.float64), scores]), axis=1)[0]
    several = int((np.unique(grades, return_counts=True)[1] > 1).sum())
    apart = f", of which those count that differ by at least method.margin={margin:g}" if margin else ""
    return (
        f"{len(found)} preference pairs where a step takes {least}: {several} of {len(np.unique(prompts))} prompts "
        f"have completions of different grades{apart}. More graded completions of the same prompts, a smaller "
        "method.margin, method.pairs=all or a smaller train.batch_size help; method=kto, method=sft and goals need no "
        "pairs."
    )
