"""The goal spec: resolving targets and rendering prompts."""

from typing import Any

import numpy as np
import pytest

from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.scale import Scale
from gcsl_cli.goals.spec import no_goal_spec
from tests.unit.goals.toy import RAW, TOY, toy_spec


@pytest.mark.parametrize(
    ("target", "goal"), [("best", 0.9), ("worst", 0.0), (0.0, 0.0), (0, 0.0), ("0.5", 0.5), (0.9, 0.9), (None, 0.9)]
)
def test_target_resolves_to_a_level(target: Any, goal: float) -> None:
    """Levels 0, 0.5, 0.9; the default target is `best`."""
    assert toy_spec().goal(target) == goal


def test_target_of_the_spec_is_the_default() -> None:
    assert toy_spec(target=0.5).goal() == 0.5
    assert toy_spec(target="worst").goal() == 0.0


@pytest.mark.parametrize(
    ("target", "nearest"), [(-0.01, "0 and 0.5"), (0.49, "0.5 and 0.9"), (0.8, "0.9 and 0.5"), (7, "0.9 and 0.5")]
)
def test_unknown_level_is_rejected_with_the_nearest_ones(target: float, nearest: str) -> None:
    with pytest.raises(ConfigError, match=rf"target={target}: not a level of this model. Nearest: {nearest}; all: "):
        toy_spec().goal(target)


def test_level_with_many_digits_can_be_requested_by_its_label() -> None:
    spec = toy_spec(levels=(0.0, 0.12345, 0.9))

    assert spec.labels == ("0", "0.123", "0.9")
    assert spec.goal(0.123) == spec.goal(0.12345) == 0.12345
    with pytest.raises(ConfigError, match="not a level"):
        spec.goal(0.1234)


@pytest.mark.parametrize("target", [float("nan"), float("inf")])
def test_non_finite_target_is_rejected(target: float) -> None:
    for spec in (toy_spec(), toy_spec(**RAW)):
        with pytest.raises(ConfigError, match=f"target={target}: not a finite number"):
            spec.goal(target)


@pytest.mark.parametrize("target", ["bset", [0.5]])
def test_invalid_target_is_rejected(target: Any) -> None:
    with pytest.raises(ConfigError, match=r"not a goal; use best, worst or 0, 0\.5, 0\.9"):
        toy_spec().goal(target)
    with pytest.raises(ConfigError, match="not a goal; use best, worst or a number such as 1"):
        toy_spec(**RAW).goal(target)


def test_raw_scores_accept_any_number() -> None:
    spec = toy_spec(**RAW)

    assert [spec.goal(target) for target in ("best", "worst", 5, -0.25)] == [1.0, 0.0, 5.0, -0.25]


def test_lower_is_better_grades_are_requested_as_grades() -> None:
    """Scores -30, -20, 0 are 30, 20 and 0 seconds."""
    scale = Scale("seconds", 0.0, 30.0, lower_is_better=True)
    spec = toy_spec(levels=(-30.0, -20.0, 0.0), scale=scale, training_range=(-30.0, 0.0))

    assert (spec.goal(30), spec.goal(20), spec.goal("best")) == (-30.0, -20.0, 0.0)
    assert spec.labels == ("30", "20", "0")
    assert spec.text(-20.0) == "Fair text."
    assert toy_spec(**RAW, scale=scale, training_range=(-30.0, 0.0)).text(-20.0) == "<rm_score>: 20.00"


def test_quantiles_within_prompts_are_not_converted_to_grades() -> None:
    spec = toy_spec(per="prompt", scale=Scale("seconds", 0.0, 30.0, lower_is_better=True))

    assert (spec.labels, spec.goal(0.5)) == (("0", "0.5", "0.9"), 0.5)


def test_model_without_goals_takes_no_target() -> None:
    spec = no_goal_spec("toy", "plain", "{prompt}")

    assert not spec.has_goal
    for target in (None, "best", 0.5):
        with pytest.raises(ConfigError, match="trained without goals, so it takes no target"):
            spec.goal(target)


@pytest.mark.parametrize(
    ("placement", "text"),
    [("before_prompt", "Good text.\nI wanted to"), ("after_prompt", "I wanted to\nGood text.\n")],
)
def test_prompt_with_a_goal(placement: str, text: str) -> None:
    assert toy_spec(placement=placement).render("I wanted to", 0.9) == text


def test_prompt_without_a_goal() -> None:
    assert toy_spec().render("a {prompt}", None) == "a {prompt}"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"levels": (1.1e-14, 0.5, 0.9)}, ["lowest", "0.5", "0.9"]),
        ({"levels": (0.0, 0.123456, 0.9)}, ["0", "0.123", "0.9"]),
        ({"levels": (0.0, 0.90001, 0.90002)}, ["0", "0.90001", "0.90002"]),
        ({"levels": (1.0, 4.0, 5.0), "scale": Scale("stars", 1.0, 5.0)}, ["1", "4", "5"]),
        ({"levels": (-1234.5, -20.25, 0.0), "scale": Scale("s", 0.0, 2000.0, True)}, ["lowest", "20", "0"]),
        ({"levels": (0.0, 0.25, 0.5), "scale": Scale("s", 0.0, 2000.0), "per": "prompt"}, ["0", "0.25", "0.5"]),
        ({"levels": (0.0001, 0.5, 0.9), "scale": Scale("", 0.0, 0.0)}, ["0.0001", "0.5", "0.9"]),
    ],
)
def test_levels_are_displayed_rounded_to_the_scale(changes: dict[str, Any], expected: list[str]) -> None:
    """The scale is 0 to 1 unless changed. A training minimum that is not a round number is called lowest."""
    spec = toy_spec(**changes)

    assert [spec.display(level) for level in spec.levels] == expected


def test_raw_scores_are_displayed_rounded() -> None:
    spec = toy_spec(**RAW, scale=Scale("s", 0.0, 1.0), training_range=(1.1e-14, 0.98765))

    assert [spec.display(goal) for goal in (spec.worst, 0.33333, spec.best)] == ["lowest", "0.333", "0.988"]


def test_labels_and_meanings() -> None:
    tokens = toy_spec(wording="token", texts=("<|goal_0|>", "<|goal_1|>", "<|goal_2|>"), words=TOY["texts"])

    assert [toy_spec().label(level) for level in (0.0, 0.5, 0.9)] == ["worst", "0.5", "best"]
    assert toy_spec(**RAW).label(2.5) == "2.5"
    assert (tokens.text(0.5), tokens.meaning(0.5), toy_spec().meaning(0.5)) == (
        "<|goal_1|>",
        "Fair text.",
        "Fair text.",
    )


def test_weights_by_level() -> None:
    weighted = toy_spec(weights=(0.1, 0.5, 1.0))

    assert weighted.weights_of(np.array([0.0, 0.5, 0.9, np.nan])).tolist() == [0.1, 0.5, 1.0, 1.0]
    assert toy_spec().weights_of(np.array([0.0])).tolist() == [1.0]
