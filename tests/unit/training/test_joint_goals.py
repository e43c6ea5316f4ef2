"""Plans of rows with several scores: which combinations rows are trained under, and which they miss."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.goals.combinations import combination
from gcsl_cli.training.batching import Batching, Measured
from gcsl_cli.training.drawing import Drawing
from gcsl_cli.training.joint_goals import JointGoals
from gcsl_cli.training.plan import Budget, Plan, draw_plan

COUNTS = (3, 2)
LEVELS = [np.array([0.0, 0.5, 0.9]), np.array([-12.0, -6.0])]
HIGHEST = np.array([[2, 0], [0, 1], [1, 1], [1, -1]] * 8)
"""No row reaches (2, 1); every fourth has no second score."""

seeds = st.integers(0, 2**32)
rules = st.fixed_dictionaries(
    {
        "formulation": st.sampled_from(["threshold", "exact"]),
        "balance": st.sampled_from(["none", "levels"]),
        "missed": st.sampled_from(["none", "best", "sample"]),
        "rows_per_prompt": st.sampled_from([1, 2]),
        "goal_first": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.5]),
    }
)


def source(parts_dropout: float = 0.0, highest: Ints = HIGHEST, **rule: Any) -> JointGoals:
    settings: dict[str, Any] = {"formulation": "threshold", "balance": "none"} | rule
    return JointGoals(
        highest, LEVELS, np.arange(len(highest)) // 4, Drawing(pairing="sample", **settings), parts_dropout
    )


def measure(rows: Ints, goals: Floats, missed: Floats, sequence: Ints) -> Measured:
    copies = ~np.isnan(missed)
    pair = np.repeat(np.arange(len(rows)), 1 + copies)
    copy = np.diff(pair, prepend=-1) == 0
    tokens = np.full(len(pair), 5)
    return Measured(np.full(len(rows), 3), pair, copy, tokens, np.zeros_like(tokens), apart=True)


def plan(goals: JointGoals, seed: int = 0, epochs: float = 1) -> Plan:
    return draw_plan(goals, measure, Budget(epochs=epochs), Batching(batch_size=4, micro_batch_size=2), seed)


@given(seeds, rules, st.sampled_from([0.0, 0.5]))
def test_rows_are_trained_under_goals_that_they_reach(seed: int, rule: dict[str, Any], parts_dropout: float) -> None:
    made = plan(source(parts_dropout, **rule), seed)
    goals, own = combination(made.goal, COUNTS), HIGHEST[made.row]

    assert len(made.row) == len(HIGHEST)
    assert (goals <= own).all()
    if rule["formulation"] == "exact":
        assert ((goals == own) | (goals < 0)).all()
    if not parts_dropout and not rule["dropout"]:
        assert ((goals < 0) == (own < 0)).all()


@given(seeds, rules, st.sampled_from([0.0, 0.5]))
def test_copies_miss_one_part_that_is_asked_for(seed: int, rule: dict[str, Any], parts_dropout: float) -> None:
    made = plan(source(parts_dropout, **rule), seed)
    copied = ~np.isnan(made.missed)
    goals, missed = combination(made.goal[copied], COUNTS), combination(made.missed[copied], COUNTS)
    raised = missed != goals

    assert rule["missed"] != "none" or not copied.any()
    assert (raised.sum(axis=1) == 1).all()
    assert (missed[raised] > HIGHEST[made.row[copied]][raised]).all()
    assert (goals[raised] >= 0).all()
    assert not (missed == (2, 1)).all(axis=1).any(), "no row reaches it, so nothing would be pulled towards it"


def test_the_best_level_of_a_part_is_missed_under_best() -> None:
    made = plan(source(missed="best"), epochs=20)
    copied = ~np.isnan(made.missed)
    goals, missed = combination(made.goal[copied], COUNTS), combination(made.missed[copied], COUNTS)

    assert set(missed[:, 0][missed[:, 0] != goals[:, 0]].tolist()) == {2}
    assert set(missed[:, 1][missed[:, 1] != goals[:, 1]].tolist()) == {1}


def test_copies_under_a_combination_weigh_as_much_as_its_rows() -> None:
    made = plan(source(missed="best"), epochs=20)
    weights = made.copy_weights(raw=False)
    for missed in np.unique(made.missed[~np.isnan(made.missed)]):
        assert weights[made.missed == missed].sum() == pytest.approx((made.goal == missed).sum())


def test_the_same_seed_gives_the_same_plan() -> None:
    first, second = (plan(source(0.5, balance="levels", missed="sample"), seed=7) for _ in range(2))

    np.testing.assert_array_equal(first.goal, second.goal)
    np.testing.assert_array_equal(first.missed, second.missed)
    assert not np.array_equal(first.row, plan(source(0.5, balance="levels"), seed=8).row)


def test_rows_of_a_prompt_share_a_sequence_if_their_goals_follow_it() -> None:
    """Eight prompts of four rows: at least two rows at a time share a sequence, so there are at most sixteen."""
    made = plan(source(rows_per_prompt=2))
    of_sequence = [made.row[made.sequence == sequence] // 4 for sequence in np.unique(made.sequence)]

    assert all(len(set(prompts.tolist())) == 1 for prompts in of_sequence)
    assert len(of_sequence) <= 16


def test_a_row_without_any_score_is_trained_without_a_goal() -> None:
    made = plan(source(highest=np.array([[-1, -1], [0, 0]] * 4)))

    assert np.isnan(made.goal[made.row % 2 == 0]).all()
    assert not np.isnan(made.goal[made.row % 2 == 1]).any()
