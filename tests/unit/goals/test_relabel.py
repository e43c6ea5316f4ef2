"""Relabelling of rows counted by hand, and properties for arbitrary scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.errors import DataError
from gcsl_cli.goals.relabel import (
    highest_reached,
    highest_within_prompt,
    missed_levels,
    reached_pairs,
    rows_of_bins,
    sampled_levels,
    unbeaten_within_prompt,
)

LEVELS = np.array([0.1, 0.5])
levels_and_scores = st.lists(st.floats(-100, 100), min_size=1, max_size=8, unique=True).flatmap(
    lambda levels: st.tuples(st.just(sorted(levels)), st.lists(st.floats(min(levels), 200), max_size=60))
)


def test_example_of_the_module_docstring() -> None:
    highest = highest_reached(np.array([0.1, 0.9, 0.5]), LEVELS)
    rows, levels = reached_pairs(highest)

    assert highest.tolist() == [0, 1, 1]
    assert list(zip(rows.tolist(), levels.tolist(), strict=True)) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]


def test_score_equal_to_a_level_reaches_it() -> None:
    assert highest_reached(np.array([0.5, np.nextafter(0.5, 0)]), LEVELS).tolist() == [1, 0]


def test_score_below_all_levels_is_rejected() -> None:
    with pytest.raises(DataError, match=r"Row 2 has the score 0\.05, below the lowest level 0\.1"):
        highest_reached(np.array([0.1, 0.05, 0.9]), LEVELS)


def test_no_rows_give_no_pairs() -> None:
    rows, levels = reached_pairs(highest_reached(np.empty(0), LEVELS))

    assert (len(rows), len(levels)) == (0, 0)


@given(levels_and_scores)
def test_pairs_are_exactly_the_reached_levels(case: tuple[list[float], list[float]]) -> None:
    levels, scores = np.array(case[0]), np.array(case[1])
    rows, indices = reached_pairs(highest_reached(scores, levels))

    expected = [(row, index) for row, score in enumerate(case[1]) for index, x in enumerate(case[0]) if score >= x]
    assert list(zip(rows.tolist(), indices.tolist(), strict=True)) == expected
    assert set(rows.tolist()) == set(range(len(scores)))


@given(levels_and_scores, st.integers(0, 2**32))
def test_sampled_level_is_reached(case: tuple[list[float], list[float]], seed: int) -> None:
    levels, scores = np.array(case[0]), np.array(case[1])
    sampled = sampled_levels(highest_reached(scores, levels), np.random.default_rng(seed))

    assert (levels[sampled] <= scores).all()


def test_sampled_levels_are_uniform() -> None:
    """3000 rows reach all three levels: 1000 draws each, give or take four standard deviations of 26."""
    counts = np.bincount(sampled_levels(np.full(3000, 2), np.random.default_rng(0)))

    assert (abs(counts - 1000) < 104).all()


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 1.0, 2.0, 3.0])), min_size=1, max_size=60),
    st.lists(st.floats(0, 1), min_size=1, max_size=4, unique=True).map(sorted),
)
def test_quantile_within_a_prompt_is_the_share_of_rows_beaten(
    rows: list[tuple[int, float]], quantiles: list[float]
) -> None:
    """Compare with counting, pair by pair, how many of the others have a lower score."""
    levels = np.array([0.0, *(quantile for quantile in quantiles if quantile > 1e-6)])
    expected = []
    for number, (prompt, score) in enumerate(rows):
        others = [other for index, (p, other) in enumerate(rows) if p == prompt and index != number]
        share = sum(other < score for other in others) / len(others) if others else 0.0
        expected.append(max(index for index, quantile in enumerate(levels) if share >= quantile - 1e-9))
    prompts, scores = np.array([p for p, _ in rows]), np.array([s for _, s in rows])

    assert highest_within_prompt(scores, prompts, levels).tolist() == expected


def test_better_of_two_rows_reaches_one() -> None:
    highest = highest_within_prompt(np.array([0.2, 0.1]), np.array([7, 7]), np.array([0.0, 0.5, 1.0]))

    assert highest.tolist() == [2, 0]


def test_beating_seven_of_ten_reaches_quantile_seven_tenths() -> None:
    """In binary 7 / 10 and 0.1 * 7 differ."""
    highest = highest_within_prompt(np.arange(11.0), np.zeros(11, dtype=np.int64), np.array([0.0, 0.1 * 7]))

    assert highest.tolist() == [0] * 7 + [1] * 4


HIGHEST = np.array([0, 1, 2, 3])


def missed(rule: str, best: int = 3, gap: float = 0.0, seed: int = 0) -> list[int]:
    """The levels 0, 0.5, 0.8, 0.9 that rows miss which reach at most one level each."""
    levels, generator = np.array([0.0, 0.5, 0.8, 0.9]), np.random.default_rng(seed)
    return missed_levels(HIGHEST, levels, best, rule=rule, gap=gap, generator=generator).tolist()


def test_every_row_below_the_best_level_misses_it() -> None:
    assert missed("best") == [3, 3, 3, -1]
    assert missed("best", best=2) == [2, 2, -1, -1]


def test_a_goal_closer_than_the_gap_is_not_missed() -> None:
    assert missed("best", gap=0.4) == [3, 3, -1, -1]
    assert {tuple(missed("sample", gap=0.4, seed=seed)) for seed in range(40)} == {
        (level, 3, -1, -1) for level in (1, 2, 3)
    }


def test_missed_levels_are_sampled_above_the_reached_one() -> None:
    drawn = np.array([missed("sample", seed=seed) for seed in range(200)])

    assert [set(column.tolist()) for column in drawn.T] == [{1, 2, 3}, {2, 3}, {3}, {-1}]


def test_a_goal_exactly_at_the_gap_is_missed() -> None:
    """0.1 + 0.2 is more than 0.3 in floating point."""
    levels, generator = np.array([0.1, 0.2, 0.3]), np.random.default_rng(0)

    assert missed_levels(np.arange(3), levels, 2, rule="best", gap=0.2, generator=generator).tolist() == [2, -1, -1]


def test_unbeaten_rows_are_the_best_of_their_prompt() -> None:
    """A tie at the top, a single row, and a beaten row between them."""
    scores, prompts = np.array([5.0, 5.0, 1.0, 2.0, 7.0]), np.array([0, 0, 0, 2, 3])

    assert unbeaten_within_prompt(scores, prompts).tolist() == [True, True, False, True, True]
    assert unbeaten_within_prompt(np.array([]), np.array([], dtype=np.int64)).tolist() == []


def test_rows_of_a_bin_are_used_up_before_one_is_repeated() -> None:
    """Rows 1 and 3 are in bin 0: of three draws one is each of them, and the third repeats one. Bin 2 has row 4."""
    rows = rows_of_bins(np.array([0, 2, 0, 0]), np.array([1, 0, 1, 0, 2]), np.random.default_rng(0))

    assert rows[1] == 4
    assert set(rows[[0, 2]]) == {1, 3}
    assert rows[3] in {1, 3}
