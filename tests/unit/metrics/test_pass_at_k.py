"""pass@k: values by hand, and the mean over all ways to choose k of n."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.metrics.pass_at_k import pass_at_k


def test_by_hand() -> None:
    """Two of four: one of them is missed by 1/2 at k = 1, by 2/4 * 1/3 = 1/6 at k = 2, never at k = 3."""
    solved = np.array([[True, False, True, False], [False] * 4, [True] * 4])

    assert pass_at_k(solved, 1).numerator.tolist() == [0.5, 0, 1]
    assert pass_at_k(solved, 2).numerator == pytest.approx([5 / 6, 0, 1])
    assert pass_at_k(solved, 3).numerator.tolist() == [1, 0, 1]


def test_more_tries_than_samples_are_undefined() -> None:
    made = pass_at_k(np.ones((3, 4), dtype=bool), 5)

    assert not made.defined().any()


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(1, 8))
def test_equals_the_mean_over_all_choices(samples: list[bool], k: int) -> None:
    if k > len(samples):
        return
    expected = np.mean([any(chosen) for chosen in combinations(samples, k)])

    assert pass_at_k(np.array([samples]), k).numerator[0] == pytest.approx(expected)


def test_large_counts_do_not_overflow() -> None:
    """One of 2,000: half of them are tried."""
    solved = np.zeros((1, 2000), dtype=bool)
    solved[0, 7] = True

    assert pass_at_k(solved, 1000).numerator[0] == pytest.approx(0.5)
