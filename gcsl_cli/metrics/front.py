"""The Pareto front of several scores, and the hypervolume under it.

A point is better than another if it is at least as good in every score and better in one; the front are the points that
no other is better than. The hypervolume is the volume of all that some point reaches, above a reference point (Zitzler
and Thiele 1999): on scores from 0 to 1 with the reference 0, the best possible point has 1.
"""

import math
from collections.abc import Sequence

import numpy as np

from gcsl_cli.data.arrays import Bools, Floats
from gcsl_cli.metrics.bootstrap import Estimate, PerPrompt, percentile_estimate, resample_counts


def on_front(points: Floats) -> Bools:
    """Whether no other point is better, `(points,)`; `points` are `(points, scores)`, higher is better.

    Points with NaN are not on the front, and equal points all are.
    """
    known = np.asarray(np.isfinite(points).all(axis=1))
    least = np.greater_equal(points[None], points[:, None]).all(axis=2)
    more = np.greater(points[None], points[:, None]).any(axis=2)
    beaten: Bools = np.asarray(least & more & known)
    return np.asarray(known & ~beaten.any(axis=1))


def hypervolume(points: Floats) -> float:
    """The volume that `points` `(points, scores)` reach above 0, exactly; NaN if there is no point without NaN.

    The points are sorted by the last score, and the volume of each slice is that of the points above it in the other
    scores (Knowles 2002, hypervolume by slicing objectives), so it takes long with many points and scores.
    """
    known = points[~np.isnan(points).any(axis=1)]
    return math.nan if not len(known) else _volume(known[(known > 0).all(axis=1)])


def hypervolume_estimate(arms: Sequence[Sequence[PerPrompt]], *, resamples: int, seed: int) -> Estimate:
    """The hypervolume under the mean scores of arms, with an interval from resampling prompts; see `hypervolume_draws`.

    Prompts that lack a score of an arm are left out.
    """
    if not arms:
        return Estimate(math.nan, math.nan, math.nan, 0, 0)
    defined = np.all([score.defined() for scores in arms for score in scores], axis=0)
    value, draws = hypervolume_draws(arms, resamples=resamples, seed=seed)
    return percentile_estimate(value, draws, n=int(defined.sum()), left_out=int((~defined).sum()))


def hypervolume_draws(arms: Sequence[Sequence[PerPrompt]], *, resamples: int, seed: int) -> tuple[float, Floats]:
    """The hypervolume under the mean scores of arms, and its bootstrap draws over prompts, `(resamples,)`.

    Args:
        arms: the scores of each arm, in the same order, from 0 to 1; all over the same prompts.
        resamples: bootstrap resamples.
        seed: seed of the bootstrap; arms of the same prompts and seed are resampled alike.
    """
    numerators = np.array([[score.numerator for score in scores] for scores in arms])
    denominators = np.array([[score.denominator for score in scores] for scores in arms])
    defined = np.all([score.defined() for scores in arms for score in scores], axis=0)
    numerators, denominators = np.where(defined, numerators, 0.0), np.where(defined, denominators, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = hypervolume(numerators.sum(axis=-1) / denominators.sum(axis=-1))
        draws = [
            hypervolume(mean)
            for counts in resample_counts(len(defined), resamples=resamples, seed=seed)
            for mean in np.moveaxis((numerators @ counts.T) / (denominators @ counts.T), -1, 0)
        ]
    return value, np.array(draws)


def _volume(points: Floats) -> float:
    """The volume under positive points, slice by slice of the last score."""
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    points = points[np.argsort(-points[:, -1])]
    if points.shape[1] == 2:
        heights = points[:, 1] - np.r_[points[1:, 1], 0.0]
        return float((np.maximum.accumulate(points[:, 0]) * heights).sum())
    heights = points[:, -1] - np.r_[points[1:, -1], 0.0]
    return sum(float(height) * _volume(points[: place + 1, :-1]) for place, height in enumerate(heights) if height > 0)
