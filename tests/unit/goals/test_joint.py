"""Goals with several parts: targets, texts, labels, weights, and what training rows reached together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.data.records import FeedbackRow, FeedbackRows
from gcsl_cli.errors import ConfigError, RunError
from gcsl_cli.goals.joint import saved_levels
from gcsl_cli.goals.spec_file import FILE_NAME, load_spec, save_spec
from gcsl_cli.goals.template import goal_template
from gcsl_cli.runs.files import read_json, write_json
from tests.unit.goals.joint_toy import HELPFULNESS, VERBOSITY, joint_spec

SPEC = joint_spec()


@pytest.mark.parametrize(
    ("target", "text", "label"),
    [
        ("best", "A text that helps most and is short.", "best"),
        ("worst", "A text that helps and is long.", "worst"),
        ({"helpfulness": "best"}, "A text that helps most.", "helpfulness=best"),
        ({"verbosity": 2}, "A text that is short.", "verbosity=best"),
        ({"verbosity": 4, "helpfulness": 2.0}, "A text that helps more and is long.", "helpfulness=2,verbosity=worst"),
        ({"verbosity": None, "helpfulness": 1}, "A text that helps.", "helpfulness=worst"),
        ("reachable", "A text that helps most and is long.", "helpfulness=best,verbosity=worst"),
        (None, "A text that helps most and is short.", "best"),
    ],
)  # fmt: skip
def test_targets_name_the_parts(target: Any, text: str, label: str) -> None:
    goal = SPEC.goal(target)

    assert SPEC.text(goal) == SPEC.meaning(goal) == text
    assert SPEC.label(goal) == label
    assert SPEC.render("Go on", goal) == f"{text}\nGo on"
    assert SPEC.goal(SPEC.asked(goal)) == goal


def test_the_reachable_goal_is_the_best_mean_that_a_hundredth_of_the_rows_has() -> None:
    """(2, 1) has the mean 1, but one row of 200; (2, 0) the mean 0.5, and (0, 1) as well, but fewer rows."""
    spec = joint_spec(combinations=((2, 0), (0, 1), (2, 1)), rows=(120, 79, 1))

    assert spec.levels_of_parts(spec.reachable) == (2, 0)
    assert replace(spec, rows=(120, 75, 5)).levels_of_parts(replace(spec, rows=(120, 75, 5)).reachable) == (2, 1)


def test_the_reachable_goal_needs_a_row_with_all_scores() -> None:
    with pytest.raises(ConfigError, match="no training row has all scores"):
        joint_spec(combinations=((2, -1),), rows=(9,)).goal("reachable")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"helpfullness": "best"}, r"there is no score 'helpfullness'\. Did you mean helpfulness\?"),
        ({"verbosity": 3}, r"target\.verbosity=3: not a level of this model\. Nearest: 4 and 2"),
        ({"verbosity": "short"}, r"target\.verbosity=short: not a goal; use best, worst or 4, 2"),
        ({"verbosity": True}, r"target\.verbosity=True: expected best, worst, a level, or null"),
        ({"verbosity": [2]}, r"target\.verbosity=\[2\]: expected best, worst, a level, or null"),
        ({"verbosity": None}, "no part is asked for. Give at least one of helpfulness, verbosity"),
        ({}, "no part is asked for"),
        (3, r"have several parts \(helpfulness, verbosity\)\. Name the part, for example target\.helpfulness=3"),
        ("bset", "have several parts"),
    ],
)
def test_targets_that_cannot_be_used(target: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SPEC.goal(target)


def test_a_single_part_needs_no_name() -> None:
    spec = joint_spec(names=("verbosity",), parts=(VERBOSITY,), combinations=((1,),), rows=(1,))

    assert spec.goal(2) == spec.goal({"verbosity": 2}) == spec.best


def test_a_long_label_can_name_a_folder() -> None:
    """Two names of 60 letters: the first 80 characters, and the number of (2, 0), which is 10."""
    spec = joint_spec(names=("a" * 60, "b" * 60))

    assert spec.label(spec.number((2, 0))) == "a" * 60 + "=best," + "b" * 14 + "...10"


def test_the_longest_goal_has_the_longest_phrase_of_each_part() -> None:
    helpfulness = replace(HELPFULNESS, texts=("helps", "helps quite a bit", "helps"))
    spec = joint_spec(parts=(helpfulness, VERBOSITY))

    assert spec.text(spec.long_goals[0]) == "A text that helps quite a bit and is short."


def test_three_phrases_read_as_a_list() -> None:
    spec = joint_spec(names=("a", "b", "c"), parts=(HELPFULNESS, VERBOSITY, VERBOSITY), combinations=(), rows=())

    assert spec.text(spec.best) == "A text that helps most, is short and is short."


def test_guidance_against_worst_leaves_open_what_is_open() -> None:
    alone = SPEC.goal({"verbosity": "best"})

    assert SPEC.label(SPEC.against(alone, "worst")) == "verbosity=worst"
    assert SPEC.against(SPEC.best, "worst") == SPEC.worst


def test_guidance_against_one_part_changes_that_part_alone() -> None:
    assert SPEC.label(SPEC.against(SPEC.best, {"verbosity": 4})) == "helpfulness=best,verbosity=worst"


@pytest.mark.parametrize(
    ("target", "helpfulness", "verbosity"),
    [
        ("worst", "helpfulness=worst,verbosity=best", "helpfulness=best,verbosity=worst"),
        ({"verbosity": 4}, "helpfulness=worst,verbosity=best", "helpfulness=best,verbosity=worst"),
        ({"helpfulness": 2}, "helpfulness=2,verbosity=best", "helpfulness=best,verbosity=worst"),
        ("none", "verbosity=best", "helpfulness=best"),
    ],
)
def test_guidance_with_a_weight_for_each_part_changes_one_at_a_time(
    target: Any, helpfulness: str, verbosity: str
) -> None:
    named = {"helpfulness": helpfulness, "verbosity": verbosity}
    for name, expected in named.items():
        other = SPEC.against_part(SPEC.best, name, target)
        assert other is not None
        assert SPEC.label(other) == expected


def test_guidance_against_none_of_the_only_part_is_the_prompt_without_a_goal() -> None:
    alone = SPEC.goal({"verbosity": "best"})

    assert SPEC.against_part(alone, "verbosity", "none") is None
    with pytest.raises(ConfigError, match=r"generation.guidance.helpfulness: helpfulness is not asked for"):
        SPEC.against_part(alone, "helpfulness", "none")


def test_a_goal_that_no_row_reached_is_named_with_the_nearest() -> None:
    """(2, 0) lacks all of verbosity, (0, 1) all of helpfulness, and (1, open) half of that and more than all of it."""
    assert SPEC.unseen(SPEC.best) == (
        "No training row reached helpfulness 3, verbosity 2 together. The nearest that rows had: helpfulness 3, "
        "verbosity 4 (50 rows); helpfulness 1, verbosity 2 (30 rows); helpfulness 2 (20 rows)."
    )


def test_goals_that_better_rows_reach_are_seen_unless_they_are_exact() -> None:
    lower = SPEC.goal({"helpfulness": 2, "verbosity": 4})

    assert SPEC.unseen(lower) is None
    assert SPEC.unseen(SPEC.goal({"helpfulness": "best"})) is None
    assert joint_spec(formulation="exact").unseen(lower) is not None


def test_weights_are_the_mean_of_the_parts() -> None:
    """Weights 0.25, 0.25, 1 of helpfulness; verbosity weighs 1. (2, 1): 1, (0, 1): 0.625, (0, open): 0.25, none: 1."""
    spec = joint_spec(parts=(replace(HELPFULNESS, weights=(0.25, 0.25, 1.0)), VERBOSITY))
    goals = [spec.number(levels) for levels in ((2, 1), (0, 1), (0, -1))]

    assert spec.weights_of(np.array([*goals, np.nan])).tolist() == [1.0, 0.625, 0.25, 1.0]
    assert SPEC.weights_of(np.array(goals)).tolist() == [1.0, 1.0, 1.0]


def test_the_spec_is_saved_and_loaded(tmp_path: Path) -> None:
    save_spec(SPEC, tmp_path)

    assert load_spec(tmp_path) == SPEC
    assert read_json(tmp_path / FILE_NAME)["format_version"] == 3


def test_an_edited_part_is_rejected(tmp_path: Path) -> None:
    save_spec(SPEC, tmp_path)
    values = read_json(tmp_path / FILE_NAME)
    values["parts"][0]["levels"] = [1.0, 2.0, 4.0]
    write_json(tmp_path / FILE_NAME, values)

    with pytest.raises(RunError, match="the checksum does not match"):
        load_spec(tmp_path)


def test_levels_of_rows_with_unknown_and_low_scores() -> None:
    """Helpfulness 2.5 reaches level 1, an unknown one none; verbosity 9 (score -9) is below the training minimum."""
    scores = [{"helpfulness": 2.5, "verbosity": -9.0}, {"verbosity": -2.0}]
    rows = FeedbackRows.of(FeedbackRow("p", "c", 0.5, "id", "validation", scores=score) for score in scores)
    levels = saved_levels(SPEC)

    assert levels.reached_by(rows).tolist() == [[1, 0], [-1, 1]]
    assert levels.goals_of(rows).tolist() == [SPEC.number((1, 0)), SPEC.number((-1, 1))]


GOALS = ["best", "worst", {"verbosity": 2}, {"helpfulness": 2, "verbosity": "worst"}, {"helpfulness": 3.0}]


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("joins", [(", ", " and "), (", ", ", ")])
@pytest.mark.parametrize("frame", ['A "text" that\n{parts}.', "{parts}"])
def test_the_chat_template_writes_what_the_spec_renders(goal: Any, joins: tuple[str, str], frame: str) -> None:
    spec = joint_spec(joins=joins, frame=frame)

    assert rendered(spec, goal) == spec.render("Go on", spec.goal(goal))


def test_the_chat_template_asks_for_the_target_by_default() -> None:
    spec = joint_spec(target={"verbosity": 2})

    assert rendered(spec) == rendered(spec, None) == "A text that is short.\nGo on"
    assert rendered(spec, "none") == rendered(spec, {}) == "Go on"


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        ({"brevity": 1}, "goal: there is no brevity; one of helpfulness, verbosity"),
        ({"verbosity": 3}, "goal: verbosity=3 is unknown; one of best, worst, 4, 2"),
        (3, "goal=3: this model has several goals"),
    ],
)
def test_the_chat_template_refuses_what_it_does_not_know(goal: Any, message: str) -> None:
    from jinja2 import TemplateError

    with pytest.raises(TemplateError, match=message):
        rendered(SPEC, goal)


def rendered(spec: Any, *goal: Any) -> str:
    from transformers.utils.chat_template_utils import _compile_jinja_template

    template = _compile_jinja_template(goal_template(spec, None))
    return str(template.render(messages=[{"role": "user", "content": "Go on"}], **({"goal": goal[0]} if goal else {})))
