"""Reward-weighted SFT: weights counted by hand, and properties for arbitrary scores."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.methods.rwr import RewardWeighted, reward_weights

many_scores = st.lists(st.floats(-50, 50), min_size=1, max_size=40).map(np.array)


def test_example_of_the_module_docstring() -> None:
    weights = reward_weights(np.array([0.0, 0.0, 1.0]), 0.5, 20.0)

    assert weights == pytest.approx([0.3194, 0.3194, 2.3611], abs=1e-3)


@given(many_scores, st.floats(0.05, 10))
def test_better_rows_weigh_no_less_and_the_mean_is_1(scores: np.ndarray, temperature: float) -> None:
    weights = reward_weights(scores, temperature, np.inf)

    assert weights.mean() == pytest.approx(1)
    assert (np.diff(weights[np.argsort(scores, kind="stable")]) >= 0).all()


def test_default_temperature_is_one_standard_deviation() -> None:
    """So the unit of the scores does not matter."""
    scores = np.array([0.1, 0.4, 0.5, 0.9])

    assert reward_weights(scores, None, 20.0) == pytest.approx(reward_weights(100 * scores, None, 20.0))
    assert reward_weights(scores, None, 20.0) == pytest.approx(reward_weights(scores, scores.std(), 20.0))


def test_equal_scores_have_equal_weights() -> None:
    assert reward_weights(np.full(3, 0.7), None, 20.0).tolist() == [1, 1, 1]


def test_no_weight_exceeds_the_largest() -> None:
    assert reward_weights(np.array([0.0] * 99 + [1.0]), 0.01, 20.0).max() == 20


@pytest.mark.parametrize("setting", [{"temperature": 0.0}, {"temperature": float("nan")}, {"max_weight": -1.0}])
def test_settings_out_of_range_are_named(setting: dict[str, Any]) -> None:
    (problem,) = RewardWeighted(**setting).problems(rows_per_pass=16)

    assert problem.startswith(f"method.{next(iter(setting))}=")


def test_settings_name_a_run() -> None:
    assert RewardWeighted(temperature=0.2).keys() == {"name": "rwr", "temperature": 0.2, "max_weight": 20.0}
