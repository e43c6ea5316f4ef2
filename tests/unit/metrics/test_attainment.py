"""Levels asked for and achieved, on hand-made scores."""

import math

import numpy as np
import pytest

from gcsl_cli.metrics.attainment import mean_score, rank_correlations, reached_share, spearman
from gcsl_cli.metrics.bootstrap import interval

SCORES = np.array([[0.2, 0.8], [0.5, np.nan]])


def test_reached_share_counts_scored_completions_at_or_above_the_level() -> None:
    """Of 0.2, 0.8, 0.5 two reach 0.5."""
    assert interval(reached_share(0.5, SCORES), resamples=10, seed=0).value == pytest.approx(2 / 3)


def test_mean_score_is_over_scored_completions() -> None:
    """(0.2 + 0.8 + 0.5) / 3."""
    assert interval(mean_score(SCORES), resamples=10, seed=0).value == pytest.approx(0.5)


def test_a_prompt_without_a_score_is_left_out() -> None:
    assert interval(mean_score(np.array([[np.nan], [0.5]])), resamples=10, seed=0).left_out == 1


def test_spearman_follows_ranks_and_shares_ties() -> None:
    """Ranks (1, 2, 3) and (1, 3, 2): 1 - 6 * (0 + 1 + 1) / (3 * 8) = 0.5.

    With a tie, ranks (1.5, 1.5, 3) and (1, 2, 3): covariance 1.5, variances 1.5 and 2: 1.5 / sqrt(3).
    """
    assert spearman([10, 20, 30], [1, 9, 4]) == pytest.approx(0.5)
    assert spearman([1, 1, 5], [1, 2, 3]) == pytest.approx(1.5 / math.sqrt(3))


@pytest.mark.parametrize(
    ("first", "second"),
    [([], []), ([1.0], [2.0]), ([1.0, 1.0], [2.0, 3.0]), ([1.0, 2.0], [5.0, 5.0]), ([1.0, 2.0], [math.nan, 5.0])],
)
def test_spearman_is_nan_where_it_is_undefined(first: list[float], second: list[float]) -> None:
    assert math.isnan(spearman(first, second))


def test_rank_correlations_over_level_means_and_over_completions() -> None:
    """Level means 0.2 and 0.5 rise with the level: 1.

    Over completions, asked ranks (1.5, 1.5, 3.5, 3.5), achieved 0.1, 0.3, 0.2, 0.8 with ranks (1, 3, 2, 4):
    covariance 2, variances 4 and 5: 2 / sqrt(20).
    """
    correlations = rank_correlations([0.0, 0.9], [np.array([[0.1, 0.3]]), np.array([[0.2, 0.8]])])

    assert correlations.levels == pytest.approx(1.0)
    assert correlations.completions == pytest.approx(2 / math.sqrt(20))


def test_one_level_has_no_rank_correlation() -> None:
    correlations = rank_correlations([0.5], [np.array([[0.1, 0.9]])])

    assert math.isnan(correlations.levels)
    assert math.isnan(correlations.completions)
