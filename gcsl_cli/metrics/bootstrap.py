"""Estimates over prompts with bootstrap intervals.

A metric is a numerator and a denominator per prompt, and its estimate is the ratio of their sums. For a mean over
prompts, the denominators are 1; for perplexity they are token counts, and the ratio is exponentiated. The 95 %
percentile bootstrap (Efron and Tibshirani 1993, chapter 13) resamples prompts, because completions of the same prompt
are not independent.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from gcsl_cli.data.arrays import Bools, Floats, Ints
from gcsl_cli.errors import ConfigError

CONFIDENCE = 0.95
CHUNK_CELLS = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class PerPrompt:
    """A metric per prompt, before aggregation.

    Both arrays have shape (prompts,). A prompt is defined if both values are finite and the denominator is positive.
    """

    numerator: Floats
    denominator: Floats
    transform: Literal["identity", "exp"] = "identity"

    def __post_init__(self) -> None:
        if self.numerator.ndim != 1 or self.numerator.shape != self.denominator.shape:
            raise ValueError(f"shapes {self.numerator.shape} and {self.denominator.shape}; both must be (prompts,)")

    def defined(self) -> Bools:
        """Mask of the defined prompts, shape (prompts,)."""
        return np.isfinite(self.numerator) & np.isfinite(self.denominator) & (self.denominator > 0)

    def finish(self, numerators: Floats, denominators: Floats) -> Floats:
        """Turn sums over prompts into estimates of the same shape."""
        ratio = numerators / denominators
        if self.transform == "identity":
            return ratio
        with np.errstate(over="ignore"):
            return np.exp(ratio)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval over `n` prompts; `left_out` prompts had no value. Undefined is NaN."""

    value: float
    low: float
    high: float
    n: int
    left_out: int

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON: numbers that are not finite become None."""
        numbers: dict[str, float | int] = asdict(self)
        return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def mean_over_prompts(values: Floats) -> PerPrompt:
    """The mean of one value per prompt, shape (prompts,); prompts with NaN are left out."""
    return PerPrompt(values, np.ones_like(values))


def resample_counts(n: int, *, resamples: int, seed: int, width: int = 0) -> Iterator[Ints]:
    """How often each resample draws each of `n` prompts, in chunks of shape (some resamples, n).

    Chunks are small enough for the caller to hold `width` numbers per resample, if that is more than `n`.

    Raises:
        ConfigError: fewer than one resample was requested.
    """
    if resamples < 1:
        raise ConfigError(
            f"evaluation.bootstrap={resamples}: an interval needs 1 or more resamples. Set evaluation.bootstrap=2000."
        )
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_CELLS // max(n, width))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        cells = generator.integers(n, size=(size, n)) + np.arange(size)[:, None] * n
        yield np.bincount(cells.ravel(), minlength=size * n).reshape(size, n)


def percentile_estimate(value: float, draws: Floats, *, n: int, left_out: int) -> Estimate:
    """An estimate with the percentile interval of its bootstrap draws, shape (resamples,).

    NaN draws are dropped. A single prompt has no variation, so it has no interval.
    """
    kept = draws[~np.isnan(draws)]
    if n < 2 or kept.size == 0:
        return Estimate(value, math.nan, math.nan, n, left_out)
    low, high = np.quantile(kept, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high), n, left_out)


def interval(metric: PerPrompt, *, resamples: int, seed: int) -> Estimate:
    """The estimate of a metric over its defined prompts."""
    return _resampled([metric], resamples, seed)


def paired_difference(first: PerPrompt, second: PerPrompt, *, resamples: int, seed: int) -> Estimate:
    """The estimate of `first` minus that of `second`, over the prompts that both define, resampled together.

    Raises:
        ValueError: they are not over the same prompts.
    """
    if first.numerator.shape != second.numerator.shape:
        raise ValueError(f"{first.numerator.size} and {second.numerator.size} prompts cannot be paired")
    return _resampled([first, second], resamples, seed)


def _resampled(metrics: list[PerPrompt], resamples: int, seed: int) -> Estimate:
    """The estimate of the first metric minus those of the others, each resample using the same prompts for all."""
    keep = np.all([metric.defined() for metric in metrics], axis=0)
    n, left_out = int(keep.sum()), int((~keep).sum())
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, left_out)
    columns = [column[keep] for metric in metrics for column in (metric.numerator, metric.denominator)]
    terms = np.stack(columns, axis=1)

    def finished(sums: Floats) -> Floats:
        first, *others = (metric.finish(*sums.T[2 * place : 2 * place + 2]) for place, metric in enumerate(metrics))
        return first - sum(others) if others else first

    value = float(finished(terms.sum(axis=0)[None])[0])
    draws = [finished(counts @ terms) for counts in resample_counts(n, resamples=resamples, seed=seed)]
    return percentile_estimate(value, np.concatenate(draws), n=n, left_out=left_out)
