"""Goal attainment: does the model reach the level that it is asked for?

Scores are those of the completions at one level; higher is better, shape (prompts, samples).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gcsl_cli.data.arrays import Floats
from gcsl_cli.metrics.bootstrap import PerPrompt


@dataclass(frozen=True, slots=True)
class RankCorrelations:
    """Spearman's correlation of asked and achieved: over one mean per level, and over all completions."""

    levels: float
    completions: float


def reached_share(level: float, scores: Floats) -> PerPrompt:
    """The share of completions with a score of at least `level`; unscored (NaN) completions are not counted."""
    return _mean((scores >= level).astype(np.float64), scores)


def above_share(score: float, scores: Floats) -> PerPrompt:
    """The share of completions with a score above `score`; unscored (NaN) completions are not counted."""
    return _mean((scores > score).astype(np.float64), scores)


def mean_score(scores: Floats) -> PerPrompt:
    """The mean score over completions; unscored (NaN) completions are not counted."""
    return _mean(scores, scores)


def rank_correlations(levels: Sequence[float], scores: Sequence[Floats]) -> RankCorrelations:
    """Correlate the levels asked for with the scores achieved, one array of scores per level.

    With two levels, the correlation over level means can only be 1, -1 or undefined.
    """
    means = [float(kept.mean()) if (kept := part[np.isfinite(part)]).size else math.nan for part in scores]
    asked = np.repeat(np.asarray(levels, dtype=np.float64), [part.size for part in scores])
    achieved = np.concatenate([part.ravel() for part in scores]) if scores else np.empty(0)
    return RankCorrelations(levels=spearman(levels, means), completions=spearman(asked, achieved))


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Spearman's rank correlation, ties sharing their mean rank (`scipy.stats.spearmanr`).

    Pairs with a NaN are dropped. The result is NaN if fewer than two pairs are left or one side is constant.
    """
    from scipy.stats import spearmanr

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    keep = np.isfinite(a) & np.isfinite(b)
    a, b = a[keep], b[keep]
    if a.size < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(spearmanr(a, b).statistic)


def _mean(values: Floats, scores: Floats) -> PerPrompt:
    scored = np.isfinite(scores)
    return PerPrompt(np.where(scored, values, 0.0).sum(axis=1), scored.sum(axis=1).astype(np.float64))
