"""How asking for one part moves the scores, with the others held."""

import math

import numpy as np
import pytest

from gcsl_cli.metrics.attainment import mean_score
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.cross_talk import attained_ranks, held_groups, moved

GOALS = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [1, -1]])
"""All combinations of two levels of two parts, and the first part alone."""
FIRST = [0.1, 0.7, 0.3, 0.5, 0.9]


def scores(means: list[float]) -> list[PerPrompt]:
    """Two prompts of one sample each, 0.05 below and above the mean."""
    return [mean_score(np.array([[mean - 0.05], [mean + 0.05]])) for mean in means]


def test_arms_that_differ_in_one_part_are_a_group() -> None:
    assert [group.tolist() for group in held_groups(GOALS, 0)] == [[0, 1], [2, 3]]
    assert [group.tolist() for group in held_groups(GOALS, 1)] == [[0, 2], [1, 3]]


def test_a_score_moves_by_the_mean_over_the_groups() -> None:
    """0.7 - 0.1 with the other part low, 0.5 - 0.3 with it high: 0.4 on average, in both prompts."""
    effect = moved(GOALS, 0, scores(FIRST), resamples=50, seed=0)
    assert effect is not None

    assert (effect.value, effect.low, effect.high) == pytest.approx((0.4, 0.4, 0.4))


def test_ranks_are_those_of_each_group() -> None:
    falling = [0.5, 0.4, 0.1, 0.3, 0.0]

    assert attained_ranks(GOALS, 0, scores(FIRST)) == pytest.approx([1.0, 1.0])
    assert attained_ranks(GOALS, 0, scores(falling)) == pytest.approx([-1.0, 1.0])


def test_nothing_moves_if_no_two_arms_differ_in_the_part_alone() -> None:
    assert moved(GOALS[[0, 3]], 0, scores(FIRST[:2]), resamples=5, seed=0) is None
    assert attained_ranks(GOALS[[0, 3]], 0, scores(FIRST[:2])) == []
    assert math.isnan(attained_ranks(GOALS[:2], 0, scores([0.5, 0.5]))[0])
