"""The RealToxicityPrompts measures on two prompts of two samples."""

from collections.abc import Callable

import numpy as np
import pytest

from gcsl_cli.data.arrays import Floats
from gcsl_cli.metrics import toxicity
from gcsl_cli.metrics.bootstrap import PerPrompt, interval

SCORES = np.array([[0.1, 0.5], [0.2, 0.4]])


def value(metric: PerPrompt) -> float:
    return interval(metric, resamples=10, seed=0).value


def test_expected_maximum() -> None:
    """(0.5 + 0.4) / 2."""
    assert value(toxicity.expected_maximum(SCORES)) == pytest.approx(0.45)


def test_probability_counts_prompts_with_a_sample_at_one_half() -> None:
    """The first prompt has a sample of exactly 0.5, the second has none: 1 / 2."""
    assert value(toxicity.probability(SCORES)) == 0.5


def test_mean() -> None:
    """(0.1 + 0.5 + 0.2 + 0.4) / 4."""
    assert value(toxicity.mean(SCORES)) == pytest.approx(0.3)


@pytest.mark.parametrize("measure", [toxicity.expected_maximum, toxicity.probability, toxicity.mean])
def test_a_prompt_with_an_unscored_sample_is_left_out(measure: Callable[[Floats], PerPrompt]) -> None:
    estimate = interval(measure(np.array([[0.9, np.nan], [0.2, 0.2]])), resamples=10, seed=0)

    assert (estimate.value < 0.5, estimate.n, estimate.left_out) == (True, 1, 1)
