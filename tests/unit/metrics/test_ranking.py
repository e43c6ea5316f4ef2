"""Ranking metrics: by hand, against scikit-learn, and what ties give."""

import math

import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, roc_auc_score, top_k_accuracy_score

from gcsl_cli.metrics.bootstrap import interval
from gcsl_cli.metrics.ranking import auc_parts, hit_rate, ndcg, placed, reciprocal_rank


def test_places_and_metrics_by_hand() -> None:
    """Others 5, 3, 3, 1. The item with 4 is second; the one with 3 is third to fifth, with two that tie."""
    above, ties = placed(np.array([4.0, 3.0]), np.array([5.0, 3.0, 3.0, 1.0]))
    assert (above.tolist(), ties.tolist()) == ([1, 1], [0, 2])
    assert hit_rate(above, ties, 1).tolist() == [0, 0]
    assert hit_rate(above, ties, 3).tolist() == pytest.approx([1, 2 / 3])
    assert ndcg(above, ties, 3).tolist() == pytest.approx([1 / math.log2(3), (1 / math.log2(3) + 1 / 2) / 3])
    assert reciprocal_rank(above, ties).tolist() == pytest.approx([1 / 2, (1 / 2 + 1 / 3 + 1 / 4) / 3])


def test_equal_scores_give_what_chance_gives() -> None:
    """One item and 99 others: the first ten places of a hundred, and their mean gain."""
    above, ties = placed(np.zeros(1), np.zeros(99))
    assert hit_rate(above, ties, 10).tolist() == [0.1]
    assert ndcg(above, ties, 10).tolist() == pytest.approx(
        [sum(1 / math.log2(place + 1) for place in range(1, 11)) / 100]
    )
    assert reciprocal_rank(above, ties).tolist() == pytest.approx([sum(1 / place for place in range(1, 101)) / 100])


@pytest.mark.parametrize("tied", [False, True])
def test_agrees_with_scikit_learn(*, tied: bool) -> None:
    """scikit-learn takes the mean over tied places for NDCG, as we do; for the others it has no rule for ties."""
    generator = np.random.default_rng(0)
    values = generator.integers(0, 8, (60, 20)).astype(float) if tied else generator.normal(size=(60, 20))
    relevant = np.zeros_like(values)
    relevant[:, 0] = 1
    found = [placed(row[:1], row[1:]) for row in values]
    above, ties = (np.concatenate(part) for part in zip(*found, strict=True))
    for k in (1, 5, 10):
        assert ndcg(above, ties, k).mean() == pytest.approx(ndcg_score(relevant, values, k=k))
        if not tied:
            labels = np.arange(20)
            assert hit_rate(above, ties, k).mean() == pytest.approx(
                top_k_accuracy_score(np.zeros(60, dtype=int), values, k=k, labels=labels)
            )
    if not tied:
        assert reciprocal_rank(above, ties).mean() == pytest.approx(
            label_ranking_average_precision_score(relevant, values)
        )


def test_auc_is_a_mean_with_delongs_variance() -> None:
    """The AUC itself, and an interval as wide as that of resampling rows and computing the AUC anew."""
    generator = np.random.default_rng(1)
    good = generator.random(400) < 0.3
    values = np.round(generator.normal(size=400) + 0.7 * good, 1).astype(np.float64)
    metric = auc_parts(values, good)
    estimate = interval(metric, resamples=2000, seed=0)
    assert estimate.value == pytest.approx(roc_auc_score(good, values))
    draws = [generator.integers(400, size=400) for _ in range(500)]
    low, high = np.quantile([roc_auc_score(good[rows], values[rows]) for rows in draws], [0.025, 0.975])
    assert estimate.high - estimate.low == pytest.approx(high - low, rel=0.12)


def test_auc_of_one_class_is_undefined() -> None:
    assert math.isnan(interval(auc_parts(np.array([1.0, 2.0]), np.array([True, True])), resamples=10, seed=0).value)
