"""Estimates over seeds and prompts: hand-made values, and what one seed must give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.metrics.bootstrap import PerPrompt, interval, mean_over_prompts, paired_difference
from gcsl_cli.metrics.seeds import difference_over_seeds, over_seeds

values = st.lists(st.floats(0, 1), min_size=2, max_size=12).map(np.array)


def means(*rows: list[float]) -> list[PerPrompt]:
    return [mean_over_prompts(np.array(row)) for row in rows]


def test_the_estimate_is_the_mean_over_seeds() -> None:
    """Seeds have the means 0.5 and 0.75."""
    found = over_seeds(means([0, 1], [0.5, 1]), resamples=200, seed=0)

    assert found.per_seed == (0.5, 0.75)
    assert found.estimate.value == 0.625
    assert found.estimate.n == 2


def test_seeds_that_differ_widen_the_interval_where_prompts_do_not() -> None:
    """All prompts alike: a resample has the mean 0, 0.5 or 1 by which seeds are drawn."""
    found = over_seeds(means([0] * 50, [1] * 50), resamples=500, seed=0).estimate

    assert (found.low, found.value, found.high) == (0.0, 0.5, 1.0)


def test_the_same_prompts_are_drawn_for_all_seeds() -> None:
    """Two seeds of the same values have the interval of one: independent draws would halve its variance."""
    row = list(np.linspace(0, 1, 40))
    one, two = (over_seeds(means(*[row] * count), resamples=4000, seed=0).estimate for count in (1, 2))

    assert (one.low, one.high) == pytest.approx((two.low, two.high))


@given(values)
def test_one_seed_is_the_bootstrap_over_prompts(row: np.ndarray) -> None:
    metric = mean_over_prompts(row)

    expected = interval(metric, resamples=100, seed=3)
    found = over_seeds([metric], resamples=100, seed=3).estimate
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


@given(values, st.integers(0, 9))
def test_one_pair_of_seeds_is_the_paired_bootstrap(row: np.ndarray, shift: int) -> None:
    first, second = mean_over_prompts(row), mean_over_prompts(np.roll(row, shift) ** 2)

    expected = paired_difference(first, second, resamples=100, seed=3)
    found = difference_over_seeds([first], [second], resamples=100, seed=3).estimate
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_differences_are_paired_by_seed() -> None:
    """Each seed is 0.1 above its partner, though seeds lie far apart: nothing is left to vary."""
    first, second = means([0.1, 0.1], [0.9, 0.9]), means([0.0, 0.0], [0.8, 0.8])
    found = difference_over_seeds(first, second, resamples=300, seed=0)

    assert found.per_seed == pytest.approx((0.1, 0.1))
    assert (found.estimate.low, found.estimate.high) == pytest.approx((0.1, 0.1))


def test_a_single_seed_is_paired_with_each() -> None:
    found = difference_over_seeds(means([0.5, 0.5], [0.7, 0.7]), means([0.4, 0.4]), resamples=100, seed=0)

    assert found.per_seed == pytest.approx((0.1, 0.3))


def test_perplexities_are_averaged_after_the_exponential() -> None:
    """exp(log 2) and exp(log 4): mean 3, not exp of the mean."""
    rows = [PerPrompt(np.full(3, np.log(base)), np.ones(3), "exp") for base in (2, 4)]

    assert over_seeds(rows, resamples=10, seed=0).estimate.value == pytest.approx(3)


def test_a_prompt_without_a_value_counts_for_nothing_in_its_seed() -> None:
    """The first seed knows prompt 1 alone: 1.0; the second both: 0.5."""
    found = over_seeds(means([np.nan, 1.0], [0.0, 1.0]), resamples=100, seed=0)

    assert found.per_seed == (1.0, 0.5)
    assert (found.estimate.n, found.estimate.left_out) == (1, 1)


def test_a_seed_without_any_value_is_undefined() -> None:
    found = over_seeds(means([np.nan, np.nan]), resamples=10, seed=0)

    assert found.as_dict() == {"value": None, "low": None, "high": None, "n": 0, "left_out": 2, "per_seed": [None]}


@pytest.mark.parametrize("second", [means([0.1]), means([0.1, 0.2], [0.1, 0.2])])
def test_what_cannot_be_paired(second: list[PerPrompt]) -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        difference_over_seeds(means([0.0, 0.1], [0.0, 0.1], [0.0, 0.1]), second, resamples=10, seed=0)
