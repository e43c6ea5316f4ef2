"""Estimates over prompts with bootstrap intervals.

A metric is a numerator and a denominator per prompt; its estimate is the ratio of their sums: a mean over prompts has
ones below, perplexity has token counts below and an exponential around. Prompts are what is resampled (completions of
one prompt are alike), by the percentile bootstrap of Efron and Tibshirani (1993, chapter 13), 95 %.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from gcsl_cli.errors import ConfigError

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
CHUNK_CELLS = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class PerPrompt:
    """A metric before it is summed up.

    Both arrays have shape (prompts,). A prompt is defined where both are finite and the denominator is positive.
    """

    numerator: Floats
    denominator: Floats
    transform: Literal["identity", "exp"] = "identity"

    def __post_init__(self) -> None:
        if self.numerator.ndim != 1 or self.numerator.shape != self.denominator.shape:
            raise ValueError(f"shapes {self.numerator.shape} and {self.denominator.shape}; both must be (prompts,)")

    def defined(self) -> npt.NDArray[np.bool_]:
        """Which prompts count, shape (prompts,)."""
        return np.isfinite(self.numerator) & np.isfinite(self.denominator) & (self.denominator > 0)

    def finish(self, numerators: Floats, denominators: Floats) -> Floats:
        """The estimates that belong to sums over prompts, of the same shape."""
        ratio = numerators / denominators
        if self.transform == "identity":
            return ratio
        with np.errstate(over="ignore"):
            return np.exp(ratio)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval, over `n` prompts; `left_out` prompts had no value. Undefined is NaN."""

    value: float
    low: float
    high: float
    n: int
    left_out: int

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON: what is not a finite number becomes None."""
        return {
            "value": self.value if math.isfinite(self.value) else None,
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
            "n": self.n,
            "left_out": self.left_out,
        }


def mean_over_prompts(values: Floats) -> PerPrompt:
    """The plain mean of one value a prompt, shape (prompts,); NaN leaves a prompt out."""
    return PerPrompt(values, np.ones_like(values))


def resample_counts(n: int, *, resamples: int, seed: int, width: int = 0) -> Iterator[npt.NDArray[np.int64]]:
    """How often each of `n` prompts is drawn in each resample, in chunks of shape (some resamples, n).

    A chunk is small enough for arrays of `width` numbers a resample, where that is more than `n`.

    Raises:
        ConfigError: fewer than one resample is asked for.
    """
    if resamples < 1:
        raise ConfigError(
            f"{resamples} bootstrap resamples give no interval; allowed: 1 or more. Set evaluation.bootstrap=2000."
        )
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_CELLS // max(n, width))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        cells = generator.integers(n, size=(size, n)) + np.arange(size)[:, None] * n
        yield np.bincount(cells.ravel(), minlength=size * n).reshape(size, n)


def percentile_estimate(value: float, draws: Floats, *, n: int, left_out: int) -> Estimate:
    """An estimate with the percentile interval of its bootstrap draws, shape (resamples,).

    NaN draws are dropped. A single prompt has no spread to resample, so it has no interval.
    """
    kept = draws[~np.isnan(draws)]
    if n < 2 or kept.size == 0:
        return Estimate(value, math.nan, math.nan, n, left_out)
    low, high = np.quantile(kept, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high), n, left_out)


def interval(metric: PerPrompt, *, resamples: int, seed: int) -> Estimate:
    """The estimate of a metric over its defined prompts.

    Raises:
        ConfigError: fewer than one resample is asked for.
    """
    keep = metric.defined()
    n, left_out = int(keep.sum()), int((~keep).sum())
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, left_out)
    terms = np.stack([metric.numerator[keep], metric.denominator[keep]], axis=1)
    total = terms.sum(axis=0)
    value = float(metric.finish(total[:1], total[1:])[0])
    draws = [metric.finish(*(counts @ terms).T) for counts in resample_counts(n, resamples=resamples, seed=seed)]
    return percentile_estimate(value, np.concatenate(draws), n=n, left_out=left_out)


def paired_difference(first: PerPrompt, second: PerPrompt, *, resamples: int, seed: int) -> Estimate:
    """The estimate of `first` minus that of `second`, both over the prompts that both define, resampled together.

    Raises:
        ConfigError: fewer than one resample is asked for.
        ValueError: they are not over the same prompts.
    """
    if first.numerator.shape != second.numerator.shape:
        raise ValueError(f"{first.numerator.size} and {second.numerator.size} prompts cannot be paired")
    keep = first.defined() & second.defined()
    n, left_out = int(keep.sum()), int((~keep).sum())
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, left_out)
    columns = (first.numerator, first.denominator, second.numerator, second.denominator)
    terms = np.stack([column[keep] for column in columns], axis=1)

    def differences(sums: Floats) -> Floats:
        a, b, c, d = sums.T
        return first.finish(a, b) - second.finish(c, d)

    draws = [differences(counts @ terms) for counts in resample_counts(n, resamples=resamples, seed=seed)]
    value = float(differences(terms.sum(axis=0)[None])[0])
    return percentile_estimate(value, np.concatenate(draws), n=n, left_out=left_out)
