"""Estimates over training seeds and prompts, with bootstrap intervals over both.

All seeds are evaluated on the same prompts. A resample draws seeds and prompts independently and takes every drawn
prompt under every drawn seed: the pigeonhole bootstrap of Owen (2007, Annals of Applied Statistics 1), which covers the
variation of both. The estimate is the mean over seeds of the estimate for each seed. With a single seed, the interval
is over prompts alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.metrics.bootstrap import Estimate, PerPrompt, percentile_estimate, resample_counts


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """An estimate over seeds and prompts, and the estimate for each seed."""

    estimate: Estimate
    per_seed: tuple[float, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON: numbers that are not finite become None."""
        seeds = [value if np.isfinite(value) else None for value in self.per_seed]
        return {**self.estimate.as_dict(), "per_seed": seeds}


def over_seeds(seeds: Sequence[PerPrompt], *, resamples: int, seed: int) -> OverSeeds:
    """The mean over seeds of a metric, one `PerPrompt` per seed over the same prompts."""
    return estimated(_draws(seeds, resamples, seed), _values(seeds), seeds, resamples, seed)


def difference_over_seeds(
    first: Sequence[PerPrompt], second: Sequence[PerPrompt], *, resamples: int, seed: int
) -> OverSeeds:
    """The mean of `first` minus `second`, paired by seed; a single `second` is paired with every seed of `first`.

    Raises:
        ValueError: they have different prompts, or different numbers of seeds.
    """
    prompts = {metric.numerator.size for metric in (*first, *second)}
    if len(prompts) != 1 or len(second) not in (1, len(first)):
        raise ValueError(f"{len(first)} and {len(second)} seeds over {sorted(prompts)} prompts cannot be paired")
    draws = _draws(first, resamples, seed) - _draws(second, resamples, seed)
    return estimated(draws, _values(first) - _values(second), [*first, *second], resamples, seed)


def estimated(draws: Floats, values: Floats, metrics: Sequence[PerPrompt], resamples: int, seed: int) -> OverSeeds:
    """Resample seeds as well, given an estimate per seed and its draws over prompts of shape (resamples, seeds).

    `metrics` are all that the estimates are made of; they count the prompts that are defined.
    """
    count = values.size
    chosen = np.random.default_rng([seed, count]).integers(count, size=(resamples, count))
    means = np.take_along_axis(draws, chosen, axis=1).mean(axis=1)
    defined = np.all([metric.defined() for metric in metrics], axis=0)
    n = int(defined.sum())
    estimate = percentile_estimate(float(values.mean()), means, n=n, left_out=defined.size - n)
    return OverSeeds(estimate, tuple(float(value) for value in values))


def _terms(seeds: Sequence[PerPrompt]) -> tuple[Floats, Floats]:
    """Numerators and denominators, shape (prompts, seeds), 0 where a prompt has no value."""
    kept = np.stack([metric.defined() for metric in seeds], axis=1)
    numerators = np.stack([metric.numerator for metric in seeds], axis=1)
    denominators = np.stack([metric.denominator for metric in seeds], axis=1)
    return np.where(kept, numerators, 0.0), np.where(kept, denominators, 0.0)


def _values(seeds: Sequence[PerPrompt]) -> Floats:
    """The estimate for each seed, shape (seeds,)."""
    numerators, denominators = _terms(seeds)
    with np.errstate(invalid="ignore", divide="ignore"):
        return seeds[0].finish(numerators.sum(axis=0), denominators.sum(axis=0))


def _draws(seeds: Sequence[PerPrompt], resamples: int, seed: int) -> Floats:
    """Bootstrap estimates over prompts, shape (resamples, seeds), with the same prompts for every seed."""
    numerators, denominators = _terms(seeds)
    counts = _counts(len(numerators), resamples, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        return seeds[0].finish(counts @ numerators, counts @ denominators)


@lru_cache(maxsize=4)
def _counts(prompts: int, resamples: int, seed: int) -> Floats:
    """How often each resample draws each prompt, shape (resamples, prompts); floats multiply much faster than ints."""
    return np.concatenate(list(resample_counts(prompts, resamples=resamples, seed=seed))).astype(np.float64)
