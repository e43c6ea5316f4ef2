"""Goal discrimination: do goals make the model tell good completions from poor ones? It needs no sampling.

Each held-out row has a score and a difference, log p(completion | best goal) - log p(completion | worst goal). The AUC
measures how well the difference separates rows at or above a cut of the score from the rest; 0.5 is chance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gcsl_cli.data.arrays import Bools, Floats
from gcsl_cli.metrics.bootstrap import Estimate, interval, mean_over_prompts, percentile_estimate, resample_counts


@dataclass(frozen=True, slots=True)
class Discrimination:
    """AUC over all rows, and within prompts (the mean over prompts that have both good and poor rows)."""

    pooled: Estimate
    within: Estimate
    cut: float
    good: int
    poor: int
    left_out: int
    """Rows without a finite difference and score."""

    def as_dict(self) -> dict[str, object]:
        """For JSON: numbers that are not finite become None."""
        known = {"cut": self.cut if math.isfinite(self.cut) else None, "good": self.good, "poor": self.poor}
        auc = {"pooled": self.pooled.as_dict(), "within": self.within.as_dict()}
        return {**auc, **known, "left_out": self.left_out}


def goal_discrimination(
    difference: Floats,
    scores: Floats,
    prompt_ids: Sequence[str],
    *,
    resamples: int,
    seed: int,
    cut: float | None = None,
) -> Discrimination:
    """AUC of `difference` for rows with a score at or above the cut; arrays have shape (rows,).

    By default the cut is the median score. If many scores tie, no row may be below it; both AUCs are then NaN.
    """
    keep = np.isfinite(difference) & np.isfinite(scores)
    kept, kept_scores = difference[keep], scores[keep]
    names, prompts = np.unique(np.asarray(prompt_ids, dtype=np.str_)[keep], return_inverse=True)
    if cut is None:
        cut = float(np.median(kept_scores)) if kept.size else math.nan
    good = kept_scores >= cut
    within = np.array([auc(kept[prompts == prompt], good[prompts == prompt]) for prompt in range(names.size)])
    return Discrimination(
        pooled=_pooled(kept, good, prompts, names.size, resamples=resamples, seed=seed),
        within=interval(mean_over_prompts(within.astype(np.float64)), resamples=resamples, seed=seed),
        cut=cut,
        good=int(good.sum()),
        poor=int((~good).sum()),
        left_out=int((~keep).sum()),
    )


def auc(values: Floats, good: Bools) -> float:
    """Probability that a good row has a higher value than a poor one, ties counting half; NaN if a class is empty."""
    from sklearn.metrics import roc_auc_score

    if good.all() or not good.any():
        return math.nan
    return float(roc_auc_score(good, values))


def _pooled(
    values: Floats, good: Bools, prompts: npt.NDArray[np.intp], n: int, *, resamples: int, seed: int
) -> Estimate:
    value = auc(values, good)
    if math.isnan(value):
        return Estimate(math.nan, math.nan, math.nan, 0, n)
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(values[order]) > 0])
    draws = [
        _weighted_auc(counts[:, prompts[order]].astype(np.float64), good[order], starts)
        for counts in resample_counts(n, resamples=resamples, seed=seed, width=values.size)
    ]
    return percentile_estimate(value, np.concatenate(draws), n=n, left_out=0)


def _weighted_auc(weights: Floats, good: Bools, starts: npt.NDArray[np.intp]) -> Floats:
    """AUC of each resample, shape (resamples,), from row weights (resamples, rows) in ascending order of value.

    `starts` are the indices at which a new value begins. A resample without good or without poor rows is NaN. All
    resamples are computed at once: `roc_auc_score` with weights takes one resample at a time.
    """
    good_tied = np.add.reduceat(weights * good, starts, axis=1)
    poor_tied = np.add.reduceat(weights * ~good, starts, axis=1)
    poor_below = np.cumsum(poor_tied, axis=1) - poor_tied
    wins = (good_tied * (poor_below + poor_tied / 2)).sum(axis=1)
    pairs = good_tied.sum(axis=1) * poor_tied.sum(axis=1)
    share: Floats = np.divide(wins, pairs, out=np.full_like(wins, np.nan), where=pairs > 0)
    return share
