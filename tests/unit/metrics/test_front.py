"""The Pareto front and the hypervolume under it, against areas that can be counted by hand."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.metrics.attainment import mean_score
from gcsl_cli.metrics.front import hypervolume, hypervolume_estimate, on_front

cells = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=8).map(lambda rows: np.array(rows, float))


def test_points_that_no_other_beats_are_on_the_front() -> None:
    points = np.array([[1, 3], [2, 2], [3, 1], [1, 2], [2, 2], [math.nan, 9]])

    assert on_front(points).tolist() == [True, True, True, False, True, False]


def test_the_hypervolume_of_steps() -> None:
    """Steps of 1 x 3, 1 x 2 and 1 x 1."""
    assert hypervolume(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [1.0, 1.0]])) == 6.0


@given(cells)
def test_the_hypervolume_counts_the_unit_cubes_that_a_point_reaches(points: np.ndarray) -> None:
    cubes = np.array(list(product(range(4), repeat=3))) + 1
    reached = np.any(np.all(points[None] >= cubes[:, None], axis=2), axis=1)

    assert hypervolume(points) == pytest.approx(reached.sum())
    assert hypervolume(points[on_front(points)]) == pytest.approx(reached.sum())


def test_what_is_worse_than_the_reference_has_no_volume() -> None:
    assert hypervolume(np.array([[-1.0, 2.0], [0.0, 1.0]])) == 0.0
    assert math.isnan(hypervolume(np.array([[math.nan, 1.0]])))


def test_the_estimate_is_the_volume_under_the_means() -> None:
    """Means (0.5, 0.5) and (1, 0.25): 0.5 * 0.5 + 0.5 * 0.25 = 0.375. Both prompts are alike, so the interval is it."""
    arms = [[mean_score(np.full((2, 3), value)) for value in values] for values in ((0.5, 0.5), (1.0, 0.25))]
    estimate = hypervolume_estimate(arms, resamples=20, seed=0)

    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (0.375, 0.375, 0.375, 2)


def test_prompts_without_a_score_are_left_out() -> None:
    scores = np.array([[0.5, 0.5], [math.nan, math.nan]])
    estimate = hypervolume_estimate([[mean_score(scores), mean_score(scores)]], resamples=5, seed=0)

    assert (estimate.value, estimate.n, estimate.left_out) == (0.25, 1, 1)
    assert math.isnan(hypervolume_estimate([], resamples=5, seed=0).value)
