"""The goal spec: what a target names, how a prompt reads, what goal.json keeps and refuses."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.errors import ConfigError, RunError, StorageError
from gcsl_cli.goals.scale import Scale
from gcsl_cli.goals.spec import load_spec, no_goal_spec
from tests.unit.goals.toy import RAW, TOY, toy_spec


@pytest.mark.parametrize(
    ("target", "goal"), [("best", 0.9), ("worst", 0.0), (0.0, 0.0), (0, 0.0), ("0.5", 0.5), (0.9, 0.9), (None, 0.9)]
)
def test_a_target_names_a_level(target: Any, goal: float) -> None:
    """Levels 0, 0.5, 0.9, target `best` where none is given."""
    assert toy_spec().goal(target) == goal


def test_the_target_of_the_spec_is_the_default() -> None:
    assert toy_spec(target=0.5).goal() == 0.5
    assert toy_spec(target="worst").goal() == 0.0


@pytest.mark.parametrize(
    ("target", "nearest"), [(-0.01, "0 and 0.5"), (0.49, "0.5 and 0.9"), (0.8, "0.9 and 0.5"), (7, "0.9 and 0.5")]
)
def test_a_level_that_the_spec_does_not_know_is_refused_with_the_nearest(target: float, nearest: str) -> None:
    with pytest.raises(ConfigError, match=rf"target={target}: no level of this model. The nearest: {nearest}; all: "):
        toy_spec().goal(target)


def test_a_level_of_many_digits_goes_by_its_short_name_too() -> None:
    spec = toy_spec(levels=(0.0, 0.12345, 0.9))

    assert spec.labels == ("0", "0.123", "0.9")
    assert spec.goal(0.123) == spec.goal(0.12345) == 0.12345
    with pytest.raises(ConfigError, match="no level"):
        spec.goal(0.1234)


@pytest.mark.parametrize("target", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_no_goal(target: float) -> None:
    for spec in (toy_spec(), toy_spec(**RAW)):
        with pytest.raises(ConfigError, match=f"target={target}: not a finite number"):
            spec.goal(target)


@pytest.mark.parametrize("target", ["bset", [0.5]])
def test_a_target_that_is_no_goal_is_refused(target: Any) -> None:
    with pytest.raises(ConfigError, match=r"not a goal; ask for best, worst or 0, 0\.5, 0\.9"):
        toy_spec().goal(target)
    with pytest.raises(ConfigError, match="not a goal; ask for best, worst or a number, like 1"):
        toy_spec(**RAW).goal(target)


def test_raw_scores_take_any_number_beyond_the_training_scores_too() -> None:
    spec = toy_spec(**RAW)

    assert [spec.goal(target) for target in ("best", "worst", 5, -0.25)] == [1.0, 0.0, 5.0, -0.25]


def test_grades_that_are_better_when_lower_are_asked_for_as_they_are() -> None:
    """Scores -30, -20, 0: thirty, twenty and no seconds."""
    scale = Scale("seconds", 0.0, 30.0, lower_is_better=True)
    spec = toy_spec(levels=(-30.0, -20.0, 0.0), scale=scale, training_range=(-30.0, 0.0))

    assert (spec.goal(30), spec.goal(20), spec.goal("best")) == (-30.0, -20.0, 0.0)
    assert spec.labels == ("30", "20", "0")
    assert spec.text(-20.0) == "Fair text."
    assert toy_spec(**RAW, scale=scale, training_range=(-30.0, 0.0)).text(-20.0) == "<rm_score>: 20.00"


def test_quantiles_of_prompts_are_no_grades() -> None:
    spec = toy_spec(per="prompt", scale=Scale("seconds", 0.0, 30.0, lower_is_better=True))

    assert (spec.labels, spec.goal(0.5)) == (("0", "0.5", "0.9"), 0.5)


def test_a_model_without_goals_has_nothing_to_ask_for() -> None:
    spec = no_goal_spec("toy", "plain", "{prompt}")

    assert not spec.has_goal
    for target in (None, "best", 0.5):
        with pytest.raises(ConfigError, match="trained without goals; there is nothing to ask for"):
            spec.goal(target)


@pytest.mark.parametrize(
    ("placement", "text"),
    [("before_prompt", "Good text.\nI wanted to"), ("after_prompt", "I wanted to\nGood text.\n")],
)
def test_a_prompt_under_a_goal(placement: str, text: str) -> None:
    assert toy_spec(placement=placement).render("I wanted to", 0.9) == text


def test_a_prompt_without_a_goal() -> None:
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


def test_weights_belong_to_levels() -> None:
    weighted = toy_spec(weights=(0.1, 0.5, 1.0))

    assert [weighted.weight(goal) for goal in (0.0, 0.5, 0.9, None)] == [0.1, 0.5, 1.0, 1.0]
    assert toy_spec().weight(0.0) == 1.0


@pytest.mark.parametrize("changes", [{"texts": ("schlecht 😶", "na ja", 'gut "{{ }}"'), "target": 0.5}, RAW])
def test_goal_json_keeps_everything(tmp_path: Path, changes: dict[str, Any]) -> None:
    spec = toy_spec(**changes)
    spec.save(tmp_path)

    assert load_spec(tmp_path) == spec


def test_goal_json_reads_as_documented(tmp_path: Path) -> None:
    toy_spec().save(tmp_path)
    saved = json.loads((tmp_path / "goal.json").read_text(encoding="utf-8"))
    checksum = saved.pop("checksum")

    lists = {key: list(value) if isinstance(value, tuple) else value for key, value in TOY.items()}
    assert saved == {"format_version": 2} | lists | {"scale": asdict(toy_spec().scale)}
    assert len(checksum) == 16


def test_a_missing_goal_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"goal\.json: no such file"):
        load_spec(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 3}, "format version 3; this gcsl reads 2. Update gcsl"),
        ({"format_version": 1}, "format version 1; this gcsl reads 2. Train again"),
        ({"format_version": ...}, "format version None"),
        ({"colour": "red"}, "key 'colour' is unknown. It was edited"),
        ({"levels": ...}, "key 'levels' is missing. It was edited"),
        ({"checksum": ...}, "its checksum is another. It was edited"),
        ({"levels": [0.0, 0.5]}, "its checksum is another"),
        ({"levels": 3}, "its checksum is another"),
        ({"texts": ["Bad text.", "Fair text.", "Superb text."]}, "its checksum is another"),
        ({"target": 0.5}, r"Train again, or ask for another goal with generation\.target"),
        ({"scale": None}, "its checksum is another"),
    ],
)
def test_an_edited_goal_json_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    toy_spec().save(tmp_path)
    path = tmp_path / "goal.json"
    values = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}), encoding="utf-8")

    with pytest.raises(RunError, match=message):
        load_spec(tmp_path)


def test_a_goal_json_that_is_written_anew_with_the_same_values_is_read(tmp_path: Path) -> None:
    toy_spec().save(tmp_path)
    path = tmp_path / "goal.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=None), encoding="utf-8")

    assert load_spec(tmp_path) == toy_spec()


def test_a_goal_json_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    toy_spec().save(tmp_path)
    path = tmp_path / "goal.json"
    path.write_text(path.read_text(encoding="utf-8")[:50], encoding="utf-8")

    with pytest.raises(RunError, match=r"goal\.json: not valid JSON"):
        load_spec(tmp_path)


def test_a_goal_json_cannot_be_saved_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError):
        toy_spec().save(tmp_path / "file")
