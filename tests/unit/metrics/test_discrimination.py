"""Goal discrimination AUC on hand-counted pairs."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gcsl_cli.metrics.discrimination import Discrimination, goal_discrimination


def discriminate(difference: list[float], scores: list[float], prompt_ids: list[str], **options: Any) -> Discrimination:
    return goal_discrimination(
        np.array(difference), np.array(scores), prompt_ids, **{"resamples": 200, "seed": 0, **options}
    )


def test_pooled_counts_pairs_and_ties_count_half() -> None:
    """Good rows have 2 and 1, poor ones 1 and 0: pairs (2,1), (2,0), (1,0) are won, (1,1) is a tie: 3.5 / 4."""
    result = discriminate([2, 1, 1, 0], [0.9, 0.8, 0.2, 0.1], ["a", "a", "b", "b"])

    assert result.pooled.value == 0.875
    assert (result.cut, result.good, result.poor) == (0.5, 2, 2)


def test_within_averages_over_prompts_with_both_classes() -> None:
    """Prompt a: good 3 against poor 1: 1. Prompt b: good 0 against poor 1 and -1: 1/2. Prompt c has no poor row."""
    result = discriminate([3, 1, 0, 1, -1, 9], [1, 0, 1, 0, 0, 1], ["a", "a", "b", "b", "b", "c"], cut=0.5)

    assert result.within.value == 0.75
    assert (result.within.n, result.within.left_out) == (2, 1)


def test_a_row_at_the_cut_is_good() -> None:
    result = discriminate([1, 0], [0.5, 0.4], ["a", "a"], cut=0.5)

    assert (result.good, result.poor, result.pooled.value) == (1, 1, 1.0)


def test_a_median_that_ties_with_the_minimum_leaves_no_poor_row() -> None:
    """Scores 0, 0, 0, 1 have the median 0: every row is at or above it."""
    result = discriminate([1, 2, 3, 4], [0, 0, 0, 1], ["a", "a", "b", "b"])

    assert math.isnan(result.pooled.value)
    assert math.isnan(result.within.value)
    assert (result.good, result.poor) == (4, 0)
    assert result.as_dict()["pooled"] == {"value": None, "low": None, "high": None, "n": 0, "left_out": 2}


def test_rows_that_are_not_finite_are_left_out_and_counted() -> None:
    result = discriminate([math.nan, 1, 0, 5], [1, 1, 0, math.nan], ["a", "b", "b", "c"], cut=0.5)

    assert (result.left_out, result.good, result.poor, result.pooled.value) == (2, 1, 1, 1.0)


def test_no_rows_at_all_is_nan() -> None:
    result = discriminate([], [], [])

    assert math.isnan(result.pooled.value)
    assert result.as_dict()["cut"] is None


def test_the_interval_resamples_prompts_with_all_their_rows() -> None:
    """Prompts a (AUC 1 alone) and b (AUC 0 alone), of equal size: a resample is a,a (1), b,b (0) or a,b (1/2).

    a,b: good 1 and -1 against poor -1 and 1: won (1,-1), ties (1,1) and (-1,-1), lost (-1,1): 2 / 4.
    """
    result = discriminate([1, -1, -1, 1], [1, 0, 1, 0], ["a", "a", "b", "b"], resamples=1000, cut=0.5)

    assert (result.pooled.value, result.pooled.low, result.pooled.high, result.pooled.n) == (0.5, 0.0, 1.0, 2)


def test_the_resampled_auc_is_that_of_the_repeated_rows() -> None:
    """One resample drawn by the same generator, its rows repeated by hand and given to scikit-learn."""
    random = np.random.default_rng(3)
    scores, difference = random.integers(0, 2, 60), random.integers(-3, 4, 60).astype(float)
    prompts = np.repeat(np.arange(20), 3)
    result = goal_discrimination(
        difference, scores.astype(float), [f"{prompt:02}" for prompt in prompts], cut=0.5, resamples=1, seed=5
    )
    drawn = np.random.default_rng(5).integers(20, size=20)
    rows = np.concatenate([np.flatnonzero(prompts == prompt) for prompt in drawn])

    assert result.pooled.low == result.pooled.high == pytest.approx(roc_auc_score(scores[rows], difference[rows]))
