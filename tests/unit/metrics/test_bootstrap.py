"""Estimates and intervals over prompts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.errors import ConfigError
from gcsl_cli.metrics import bootstrap
from gcsl_cli.metrics.bootstrap import Estimate, PerPrompt, interval, mean_over_prompts, paired_difference

NAN = math.nan


def per_prompt(numerator: list[float], denominator: list[float]) -> PerPrompt:
    return PerPrompt(np.array(numerator), np.array(denominator))


def test_the_value_is_the_ratio_of_sums_over_defined_prompts() -> None:
    """(1 + 5) / (2 + 1) = 2; the prompts with a zero denominator and with a NaN are left out."""
    estimate = interval(per_prompt([1.0, 9.0, NAN, 5.0], [2.0, 0.0, 1.0, 1.0]), resamples=100, seed=0)

    assert estimate.value == 2.0
    assert (estimate.n, estimate.left_out) == (2, 2)


def test_the_interval_of_two_prompts_spans_both() -> None:
    """Resamples of {0, 1} are (0,0), (0,1), (1,0), (1,1): means 0, 1/2, 1/2, 1, each a quarter of the time."""
    assert interval(mean_over_prompts(np.array([0.0, 1.0])), resamples=1000, seed=0) == Estimate(0.5, 0.0, 1.0, 2, 0)


def test_exp_is_applied_to_the_ratio() -> None:
    """exp((2 + 4) / (1 + 2)) = exp(2)."""
    metric = PerPrompt(np.array([2.0, 4.0]), np.array([1.0, 2.0]), transform="exp")

    assert interval(metric, resamples=10, seed=0).value == pytest.approx(math.exp(2))


def test_nothing_defined_is_nan_with_a_count() -> None:
    estimate = interval(per_prompt([NAN, 1.0], [1.0, 0.0]), resamples=10, seed=0)

    assert math.isnan(estimate.value)
    assert math.isnan(estimate.low)
    assert estimate.as_dict() == {"value": None, "low": None, "high": None, "n": 0, "left_out": 2}


def test_one_prompt_has_a_value_and_no_interval() -> None:
    estimate = interval(mean_over_prompts(np.array([3.0])), resamples=10, seed=0)

    assert estimate.value == 3.0
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_only_the_seed_decides() -> None:
    metric = mean_over_prompts(np.random.default_rng(1).normal(size=50))

    assert interval(metric, resamples=200, seed=7) == interval(metric, resamples=200, seed=7)
    assert interval(metric, resamples=200, seed=7).low != interval(metric, resamples=200, seed=8).low


def test_more_prompts_make_a_narrower_interval_near_the_normal_one() -> None:
    """A mean of n standard normal values has a 95 % interval about 2 * 1.96 / sqrt(n) wide: 0.124 for n = 1000."""
    values = np.random.default_rng(0).normal(size=1000)
    few = interval(mean_over_prompts(values[:40]), resamples=2000, seed=0)
    many = interval(mean_over_prompts(values), resamples=2000, seed=0)

    assert many.high - many.low < few.high - few.low
    assert many.high - many.low == pytest.approx(0.124, rel=0.1)


def test_resamples_come_in_chunks_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for 12 cells: three resamples of four prompts per chunk, or one if a resample needs 12 numbers."""
    monkeypatch.setattr(bootstrap, "CHUNK_CELLS", 12)

    assert [counts.shape for counts in bootstrap.resample_counts(4, resamples=7, seed=0)] == [(3, 4), (3, 4), (1, 4)]
    wide = list(bootstrap.resample_counts(4, resamples=2, seed=0, width=12))
    assert [counts.shape for counts in wide] == [(1, 4), (1, 4)]
    assert all(counts.sum() == 4 for counts in wide)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20), st.floats(-5, 5))
def test_a_constant_shift_is_a_difference_without_spread(values: list[float], shift: float) -> None:
    """Pairing takes out what the prompts share: a + c against a differs by c in every resample."""
    first = mean_over_prompts(np.array(values) + shift)
    difference = paired_difference(first, mean_over_prompts(np.array(values)), resamples=50, seed=0)

    assert difference.value == pytest.approx(shift, abs=1e-9)
    assert difference.low == pytest.approx(shift, abs=1e-9)
    assert difference.high == pytest.approx(shift, abs=1e-9)


def test_a_difference_is_over_prompts_that_both_define() -> None:
    """Both define prompts 0 and 3: (1 + 7) / 2 - (0 + 2) / 2 = 3; the other two are left out."""
    first = per_prompt([1.0, NAN, 5.0, 7.0], [1.0, 1.0, 1.0, 1.0])
    second = per_prompt([0.0, 3.0, 8.0, 2.0], [1.0, 1.0, 0.0, 1.0])

    difference = paired_difference(first, second, resamples=50, seed=0)

    assert (difference.value, difference.n, difference.left_out) == (3.0, 2, 2)


def test_a_difference_without_common_prompts_is_nan() -> None:
    difference = paired_difference(per_prompt([1.0], [1.0]), per_prompt([1.0], [0.0]), resamples=5, seed=0)

    assert math.isnan(difference.value)
    assert (difference.n, difference.left_out) == (0, 1)


def test_metrics_of_other_prompts_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="2 and 1 prompts"):
        paired_difference(
            mean_over_prompts(np.ones(2)),
            mean_over_prompts(np.ones(1)),
            resamples=5,
            seed=0,
        )


def test_no_resamples_is_an_error_with_the_key() -> None:
    with pytest.raises(ConfigError, match=r"evaluation\.bootstrap=0: an interval needs 1 or more resamples"):
        interval(mean_over_prompts(np.ones(2)), resamples=0, seed=0)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="must be"):
        PerPrompt(np.ones(2), np.ones(3))
