"""Levels of scores counted by hand, and properties of quantiles of arbitrary scores."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.data.records import FeedbackRow, FeedbackRows
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.levels import (
    Levels,
    check_scores,
    distinct_levels,
    fixed_levels,
    make_levels,
    quantile_levels,
)
from gcsl_cli.goals.relabel import highest_reached

SCORES = np.array([0.4, 0.1, 0.9, 0.4])
PROMPTS = np.arange(20)
QUANTILES = [0.0, 0.2, 0.4, 0.6, 0.8]

distinct_floats = st.floats(-1e6, 1e6)
graded = st.one_of(
    st.lists(distinct_floats, min_size=2, max_size=80),
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=80),
).filter(lambda scores: min(scores) < max(scores))
quantiles = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def test_quantiles_with_a_tie() -> None:
    """Half of four rows is two; the second-highest score is 0.4, and the tie lets a third row reach it."""
    assert quantile_levels(SCORES, [0, 0.5]).tolist() == [0.1, 0.4]


def test_exactly_the_share_of_distinct_scores_reaches_a_quantile() -> None:
    """Ten scores 0..9: 10, 8, 6, 4, 2 rows reach the levels 0, 2, 4, 6, 8, the shares 1 - q."""
    scores = np.arange(10.0)[::-1]

    levels = quantile_levels(scores, QUANTILES)

    assert levels.tolist() == [0, 2, 4, 6, 8]
    assert [(scores >= level).sum() for level in levels] == [10, 8, 6, 4, 2]


def test_quantile_between_two_rows_includes_no_extra_row() -> None:
    """Half of four distinct scores are the upper two; with numpy's `lower` method, three would reach the level."""
    assert quantile_levels(np.array([1.0, 2, 3, 4]), [0.5]).tolist() == [1, 3]


def test_quantile_does_not_lose_a_row_to_floating_point_error() -> None:
    """0.29 * 100 is 28.999999999999996 in binary; 29 rows lie below the level."""
    assert quantile_levels(np.arange(100.0), [0.29]).tolist() == [0, 29]


def test_quantile_one_is_the_maximum() -> None:
    assert quantile_levels(SCORES, [1.0]).tolist() == [0.1, 0.9]


def test_training_minimum_is_always_a_level() -> None:
    assert quantile_levels(SCORES, [0.75]).tolist() == [0.1, 0.9]


def test_equal_quantiles_are_merged() -> None:
    assert quantile_levels(np.array([0.0, 1, 1, 1, 1]), QUANTILES).tolist() == [0, 1]


@given(graded, st.floats(0, 1))
def test_share_of_rows_that_reach_a_quantile_level(values: list[float], quantile: float) -> None:
    scores = np.array(values)
    level = quantile_levels(scores, [quantile])[-1]
    promised = len(scores) * (1 - quantile)

    assert (scores >= level).sum() >= promised - 1e-6
    # Without the rows tied at the level, too few would reach it.
    assert (scores > level).sum() < promised or level == scores.max()


@given(graded, quantiles)
def test_levels_are_observed_scores_including_the_minimum(values: list[float], chosen: list[float]) -> None:
    levels = quantile_levels(np.array(values), chosen).tolist()

    assert set(levels) <= set(values)
    assert levels[0] == min(values)
    assert levels == sorted(set(levels))


@given(graded, quantiles)
def test_every_row_reaches_a_level_at_or_below_its_score(values: list[float], chosen: list[float]) -> None:
    scores = np.array(values)
    levels = quantile_levels(scores, chosen)
    highest = highest_reached(scores, levels)

    assert (levels[highest] <= scores).all()
    assert ((highest == len(levels) - 1) | (levels[np.minimum(highest + 1, len(levels) - 1)] > scores)).all()


def test_training_minimum_is_added_below_fixed_values() -> None:
    assert fixed_levels(SCORES, [0.25, 0.9]).tolist() == [0.1, 0.25, 0.9]


def test_fixed_value_at_or_below_the_minimum_becomes_the_minimum() -> None:
    assert fixed_levels(SCORES, [-3.0, 0.1, 0.5]).tolist() == [0.1, 0.5]


def test_unreached_fixed_value_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"no row reaches the level 0\.95; .* from 0\.1 to 0\.9"):
        fixed_levels(SCORES, [0.5, 0.95])


def test_distinct_scores_become_levels() -> None:
    assert distinct_levels(SCORES).tolist() == [0.1, 0.4, 0.9]


def test_too_many_distinct_scores_are_rejected() -> None:
    with pytest.raises(DataError, match="65 distinct scores; at most 64"):
        distinct_levels(np.arange(65.0))


def graded_rows(scores: Floats, prompts: Ints) -> FeedbackRows:
    """Rows with these scores, and with prompts of these numbers."""
    both = zip(scores.tolist(), prompts.tolist(), strict=True)
    return FeedbackRows.of(FeedbackRow("p", "c", score, f"id {prompt}", "train") for score, prompt in both)


def levels_by(by: str, scores: Floats = SCORES, **changes: Any) -> Levels:
    settings: dict[str, Any] = {"per": "dataset", "quantiles": [0.5], "values": [0.5]}
    return make_levels(scores, PROMPTS[: len(scores)], by=by, **(settings | changes))


@pytest.mark.parametrize(
    ("by", "levels"),
    [
        ("quantile", [0.1, 0.4]),
        ("fixed", [0.1, 0.5]),
        ("distinct", [0.1, 0.4, 0.9]),
        ("raw", [0.1, 0.4, 0.9]),
        ("auto", [0.1, 0.5]),
    ],
)
def test_levels_by_rule(by: str, levels: list[float]) -> None:
    assert levels_by(by).values.tolist() == levels


def test_auto_uses_distinct_scores_if_few_and_quantiles_if_many() -> None:
    few, many = (np.arange(float(count)) for count in (8, 9))

    assert (levels_by("auto", few, values=[]).rule, levels_by("auto", many, values=[]).rule) == ("distinct", "quantile")
    assert levels_by("auto", many, values=[]).values.tolist() == [0, 4, 8]


def test_unknown_rule_is_rejected() -> None:
    with pytest.raises(ConfigError, match="by=median: unknown; one of auto, quantile, fixed, distinct, raw"):
        levels_by("median")


@pytest.mark.parametrize(("by", "quantile", "value"), [("quantile", 0.0, 0.5), ("fixed", 0.5, 0.1)])
def test_single_level_is_rejected(by: str, quantile: float, value: float) -> None:
    with pytest.raises(ConfigError, match=r"leaves one level, 0\.1.*\(0\.1 and 0\.9\)"):
        levels_by(by, quantiles=[quantile], values=[value])


def test_quantiles_within_prompts() -> None:
    """Of four rows the best beats all others, the second best two of three; single and equal rows beat none."""
    scores = np.array([3.0, 1, 2, 4, 9, 5, 5, 10, 0, 0])
    prompts = np.array([0, 0, 0, 0, 1, 2, 2, 3, 3, 3])
    levels = make_levels(scores, prompts, by="quantile", per="prompt", quantiles=[0.5, 0.75], values=[])

    assert levels.values.tolist() == [0, 0.5, 0.75]
    assert levels.highest(scores, prompts).tolist() == [1, 0, 0, 2, 0, 0, 0, 2, 0, 0]
    assert levels.goals_of(graded_rows(scores, prompts)).tolist() == [0.5, 0, 0, 0.75, 0, 0, 0, 0.75, 0, 0]


@pytest.mark.parametrize("prompts", [[0, 1, 2, 3], [0, 1, 1, 2]])
def test_prompts_with_a_single_score_are_rejected(prompts: list[int]) -> None:
    scores = np.array([1.0, 2, 2, 4])

    with pytest.raises(ConfigError, match=r"per=prompt: no prompt has completions with different scores"):
        make_levels(scores, np.array(prompts), by="quantile", per="prompt", quantiles=[0.5], values=[])


def test_held_out_score_below_the_training_minimum_gets_the_lowest_level() -> None:
    rows = graded_rows(np.array([-5.0, 0.45, 7.0]), np.arange(3))

    assert levels_by("fixed").goals_of(rows).tolist() == [0.1, 0.1, 0.5]
    assert levels_by("raw").goals_of(rows).tolist() == [-5.0, 0.45, 7.0]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "no graded row"),
        ([0.1, float("nan")], "score of row 2 is nan"),
        ([float("-inf"), 0.1], "score of row 1 is -inf"),
        ([0.5, 0.5, 0.5], r"All 3 scores are 0\.5"),
    ],
)
def test_uninformative_scores_are_rejected(scores: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_scores(np.array(scores))


@pytest.mark.parametrize(
    ("by", "levels"), [("auto", [0.5, 1.5, 2.5, 3.5, 4.5, 5]), ("quantile", [0.5, 1.5, 2.5, 3.5, 4.5])]
)
def test_the_best_of_half_stars_is_a_level(by: str, levels: list[float]) -> None:
    """Ten grades, one row each; the quantile 0.8 leaves out the best."""
    stars = np.arange(0.5, 5.5, 0.5)

    made = make_levels(stars, np.arange(10), by=by, per="dataset", quantiles=QUANTILES, values=[])
    assert made.values.tolist() == levels


def test_the_highest_measured_score_is_no_level_of_its_own() -> None:
    scores = np.arange(22.0)

    made = make_levels(scores, np.arange(22), by="auto", per="dataset", quantiles=QUANTILES, values=[])
    assert made.values.tolist() == [0, 4, 8, 13, 17]
