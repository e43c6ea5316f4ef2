"""Combinations of levels: their numbers, which rows are examples of them, and balanced draws."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gcsl_cli.data.arrays import Ints
from gcsl_cli.goals.combinations import (
    MOST_REPEATS,
    Table,
    below,
    combination,
    distinct,
    left_open,
    numbered,
)

COUNTS = (3, 2, 4)
indices = (
    st.integers(1, 30)
    .flatmap(
        lambda rows: st.tuples(*(npst.arrays(np.int64, rows, elements=st.integers(-1, count - 1)) for count in COUNTS))
    )
    .map(lambda columns: np.stack(columns, axis=1))
)
"""Combinations of three parts, some open."""
seeds = st.integers(0, 2**32)


def test_a_combination_is_a_number() -> None:
    """(2, 0) of three and two levels: 2 + 1 in base 4, 0 + 1 in base 3, so (2 + 1) * 3 + (0 + 1) = 10."""
    assert numbered(np.array([[2, 0], [-1, 0], [0, -1]]), (3, 2)).tolist() == [10.0, 1.0, 3.0]
    assert np.isnan(numbered(np.array([[-1, -1]]), (3, 2))).all()


@given(indices)
def test_numbers_are_reversible(found: Ints) -> None:
    assert (combination(numbered(found, COUNTS), COUNTS) == found).all()


def test_eight_parts_of_64_levels_have_exact_numbers() -> None:
    highest = np.full((1, 8), 63)

    assert combination(numbered(highest, (64,) * 8), (64,) * 8).tolist() == highest.tolist()
    assert numbered(highest, (64,) * 8)[0] == 65**8 - 1


def test_distinct_combinations_are_counted() -> None:
    combinations, which, rows = distinct(np.array([[1, 0], [0, -1], [1, 0]]), (2, 2))

    assert combinations.tolist() == [[0, -1], [1, 0]]
    assert which.tolist() == [1, 0, 1]
    assert rows.tolist() == [1, 2]


@given(indices, seeds)
def test_draws_below_reach_and_keep_what_is_unknown(highest: Ints, seed: int) -> None:
    drawn = below(highest, np.random.default_rng(seed))

    assert (drawn <= highest).all()
    assert ((drawn < 0) == (highest < 0)).all()


def test_draws_below_are_uniform() -> None:
    """Of 6000 draws, each of six combinations has 1000; five standard deviations are 145."""
    drawn = below(np.tile([2, 1], (6000, 1)), np.random.default_rng(0))

    assert (abs(distinct(drawn, (3, 2))[2] - 1000) < 145).all()


@given(indices, seeds, st.floats(0, 1))
def test_parts_are_left_open_but_never_all(found: Ints, seed: int, share: float) -> None:
    opened = left_open(found, share, np.random.default_rng(seed))

    assert ((opened == found) | (opened == -1)).all()
    assert ((opened >= 0).any(axis=1) == (found >= 0).any(axis=1)).all()


def test_the_share_of_open_parts() -> None:
    """A part is dropped in 0.5, unless the other one was dropped with the smaller draw: 0.5 - 0.25 / 2 = 0.375."""
    opened = left_open(np.zeros((10_000, 2), dtype=np.int64), 0.5, np.random.default_rng(0))

    assert abs((opened < 0).mean() - 0.375) < 0.02


def test_how_many_rows_reach_each_combination() -> None:
    """Rows (1, 1), (0, 1), (0, open): all three reach (0, open), two of them (open, 1), one (1, 1), and two (0, 0)."""
    reached = Table(np.array([[1, 1], [0, 1], [0, -1]]), (2, 2)).reached
    assert reached is not None
    asked = np.array([[0, -1], [-1, 1], [1, 1], [0, 0], [1, -1]])

    assert reached[numbered(asked, (2, 2)).astype(int)].tolist() == [3, 2, 1, 2, 1]
    assert reached[0] == 0


@given(indices)
def test_reached_counts_agree_with_the_rows(highest: Ints) -> None:
    table = Table(highest, COUNTS)
    for asked in distinct(below(highest, np.random.default_rng(0)), COUNTS)[0]:
        expected = ((asked < 0) | (highest >= asked)).all(axis=1).sum()
        if (asked >= 0).any():
            assert table.reached is not None
            assert table.reached[int(numbered(asked[None], COUNTS)[0])] == expected
            assert table.is_reached(asked[None]).all()


def test_goals_are_the_combinations_that_some_row_reaches() -> None:
    """(1, 0) reaches (0, 0) and itself, (0, 1) also (0, 1); no row reaches (1, 1). A row without the second score has
    goals of the first alone."""
    highest = np.array([[1, 0], [0, 1], [1, -1]])

    assert sorted(Table(highest, (2, 2)).goals.tolist()) == [[0, -1], [0, 0], [0, 1], [1, -1], [1, 0]]
    assert sorted(Table(highest, (2, 2), exact=True).goals.tolist()) == [[0, 1], [1, -1], [1, 0]]


@given(indices, seeds, st.booleans())
def test_balanced_rows_are_examples_of_their_goals(highest: Ints, seed: int, exact: bool) -> None:
    unknown: Any = (highest < 0).all(axis=1)
    highest = np.where(unknown[:, None], 0, highest)
    rows, goals = Table(highest, COUNTS, exact=exact).balanced(200, np.random.default_rng(seed))

    assert len(rows) == len(goals) == 200
    assert ((goals >= 0) == (highest[rows] >= 0)).all()
    assert (goals == highest[rows]).all() if exact else (goals <= highest[rows]).all()


def test_every_combination_that_exists_is_drawn_equally_often() -> None:
    """90 rows reach (0, 0) only, 10 also (1, 1) and what lies below it: four goals, 100 of 400 draws each."""
    highest = np.repeat([[0, 0], [1, 1]], [90, 10], axis=0)
    rows, goals = Table(highest, (2, 2)).balanced(400, np.random.default_rng(0))

    assert distinct(goals, (2, 2))[2].tolist() == [100, 100, 100, 100]
    assert set(rows[(goals == 1).any(axis=1)].tolist()) == set(range(90, 100))


def test_a_rare_combination_is_not_repeated_without_end() -> None:
    """One row of 1000 reaches (1,): half of 1000 draws would repeat it 500 times; it gets ten."""
    highest = np.r_[np.zeros((999, 1), dtype=np.int64), [[1]]]
    _, goals = Table(highest, (2,)).balanced(1000, np.random.default_rng(0))

    assert int((goals == 1).sum()) == MOST_REPEATS


def test_rows_that_lack_a_score_get_as_many_draws_as_they_are() -> None:
    highest = np.repeat([[1, 1], [1, -1]], [75, 25], axis=0)
    _, goals = Table(highest, (2, 2)).balanced(100, np.random.default_rng(0))

    assert int((goals[:, 1] < 0).sum()) == 25


@pytest.mark.parametrize("exact", [False, True])
def test_too_many_combinations_are_not_enumerated(exact: bool) -> None:
    """5000 own combinations of 8 parts: rows come once each."""
    generator = np.random.default_rng(0)
    highest = generator.integers(0, 64, (5000, 8))
    table = Table(highest, (64,) * 8, exact=exact)
    rows, goals = table.balanced(5000, generator)

    assert table.reached is None
    assert sorted(rows.tolist()) == list(range(5000))
    assert (goals == highest[rows]).all() if exact else (goals <= highest[rows]).all()
