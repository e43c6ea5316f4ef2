"""What the dry run says of scores, on numbers that can be counted."""

from dataclasses import replace
from typing import Any

import numpy as np

from gcsl_cli.data.records import FeedbackRow, FeedbackRows
from gcsl_cli.goals.levels import Levels, make_levels
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.stages.planning.advice import advice, histogram
from gcsl_cli.training.plan import Plan
from tests.unit.goals.toy import toy_spec


def rows(scores: list[float], prompts: list[str] | None = None) -> FeedbackRows:
    ids = prompts or [str(number) for number in range(len(scores))]
    return FeedbackRows.of(FeedbackRow("p", "c", score, id_, "train") for score, id_ in zip(scores, ids, strict=True))


def plan(times: int = 1) -> Plan:
    """One row that is planned `times` times."""
    zeros = np.zeros(times, dtype=np.int64)
    return Plan.of(zeros, zeros, zeros, zeros.astype(np.float64), zeros)


def told(train: FeedbackRows, by: str, planned: Plan | None = None, **settings: Any) -> list[str]:
    levels = made(train, by, **settings)
    return list(advice(train, spec_of(levels), levels, planned or plan()))


def made(train: FeedbackRows, by: str, **settings: Any) -> Levels:
    asked: dict[str, Any] = {"per": "dataset", "quantiles": [0.5], "values": []} | settings
    return make_levels(train.scores, train.prompts, by=by, **asked)


def spec_of(levels: Levels) -> GoalSpec:
    values = tuple(levels.values.tolist())
    return toy_spec(levels=values, texts=("x",) * len(values), level_rule=levels.rule, per=levels.per)


def test_few_values_are_counted() -> None:
    assert histogram([1, 2, 2, 4.5]) == "1: 1, 2: 2, 4.5: 1"


def test_many_values_are_bars() -> None:
    """Twenty bins from 0 to 20: one row in each but the last, which has the whole of nine and 20 itself."""
    bars = histogram([*range(20), *[19.5] * 8, 20])

    assert bars == "0 |" + "▁" * 19 + "█" + "| 20, 22 distinct"


def test_bins_without_a_row_are_blank() -> None:
    assert histogram([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 40]) == "0 |█" + " " * 18 + "▁| 40, 9 distinct"


def test_nothing_stands_out() -> None:
    assert told(rows([float(number) for number in range(100)]), "quantile") == []


def test_few_scores_are_better_named() -> None:
    assert "goal.levels.by=distinct" in told(rows([1.0, 2.0] * 10), "quantile")[0]


def test_a_level_that_few_or_nearly_all_rows_reach() -> None:
    scores = [0.0] * 3 + [0.5] * 96 + [0.9]
    few, all_ = told(rows(scores), "fixed", values=[0.5, 0.9])

    assert few == "Level 0.5 is reached by 97 of 100 rows, so it hardly differs from the lowest."
    assert all_ == "Level 0.9 is reached by 1 of 100 rows, too few to learn it from. Try a lower one."


def test_the_only_rows_of_their_prompts() -> None:
    train = rows([1.0, 2.0, 3.0], ["a", "a", "b"])

    assert "1 of 3 rows have a prompt to themselves" in told(train, "quantile", per="prompt")[0]


def test_a_quantile_that_ties_keep_anyone_from() -> None:
    """Of three answers two are equally good: none beats both others."""
    train = rows([1.0, 2.0, 2.0], ["a", "a", "a"])

    assert "No row reaches level 0.9; leave it out." in told(train, "quantile", per="prompt", quantiles=[0.5, 0.9])


def test_rows_that_are_repeated_often() -> None:
    train = rows([float(number) for number in range(100)])

    assert "repeats some rows 21 times" in told(train, "quantile", plan(21))[0]
    assert told(train, "quantile", plan(20)) == []


def test_a_goal_that_is_asked_for_but_never_learned() -> None:
    train = rows([0.0, 1.0] * 10)
    levels = made(train, "distinct")
    weighted = replace(spec_of(levels), weights=(1.0, 0.0))

    (line,) = advice(train, weighted, levels, plan())
    assert line == (
        "The goal 1, which generation asks for, has a loss weight of 0 and is never learned: change goal.weights or "
        "goal.target."
    )
    assert list(advice(train, replace(weighted, target="worst"), levels, plan())) == []
