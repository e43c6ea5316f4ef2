"""Goal attainment: does the model reach what it was asked for?

For every asked level, its completions' scores (higher is better), shape (prompts, samples).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gcsl_cli.metrics.bootstrap import Floats, PerPrompt


@dataclass(frozen=True, slots=True)
class RankCorrelations:
    """Spearman's correlation of asked and achieved: over one mean a level, and over all completions."""

    levels: float
    completions: float


def reached_share(level: float, scores: Floats) -> PerPrompt:
    """The share of completions whose score is at least `level`; unscored (NaN) completions are not counted."""
    scored = np.isfinite(scores)
    return PerPrompt((scored & (scores >= level)).sum(axis=1).astype(np.float64), scored.sum(axis=1).astype(np.float64))


def above_share(score: float, scores: Floats) -> PerPrompt:
    """The share of completions whose score is above `score`; unscored (NaN) completions are not counted."""
    scored = np.isfinite(scores)
    return PerPrompt((scored & (scores > score)).sum(axis=1).astype(np.float64), scored.sum(axis=1).astype(np.float64))


def mean_score(scores: Floats) -> PerPrompt:
    """The mean score over completions; unscored (NaN) completions are not counted."""
    scored = np.isfinite(scores)
    return PerPrompt(np.where(scored, scores, 0.0).sum(axis=1), scored.sum(axis=1).astype(np.float64))


def rank_correlations(levels: Sequence[float], scores: Sequence[Floats]) -> RankCorrelations:
    """How the order of asked levels agrees with the order of achieved scores, one array of scores a level.

    With two levels the correlation over level means can only be 1, -1 or undefined.
    """
    means = [float(kept.mean()) if (kept := part[np.isfinite(part)]).size else math.nan for part in scores]
    asked = np.repeat(np.asarray(levels, dtype=np.float64), [part.size for part in scores])
    achieved = np.concatenate([part.ravel() for part in scores]) if scores else np.empty(0)
    return RankCorrelations(levels=spearman(levels, means), completions=spearman(asked, achieved))


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Spearman's rank correlation, ties sharing their mean rank (`scipy.stats.spearmanr`).

    Pairs with a NaN are dropped; NaN when fewer than two are left or one side is constant.
    """
    from scipy.stats import spearmanr

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    keep = np.isfinite(a) & np.isfinite(b)
    a, b = a[keep], b[keep]
    if a.size < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(spearmanr(a, b).statistic)
