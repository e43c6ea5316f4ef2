"""The goal spec: which level a target names, how a prompt reads, what goal.json keeps and refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.errors import ConfigError, RunError, StorageError
from gcsl_cli.goals.spec import load_spec, pick_sentences, place
from tests.unit.goals.toy import TOY, toy_spec


@pytest.mark.parametrize(
    ("target", "level"),
    [("best", 2), ("worst", 0), (0.0, 0), (0.49, 0), (0.5, 1), ("0.7", 1), (0.9, 2), (1, 2), (None, 2)],
)
def test_a_target_names_a_level(target: Any, level: int) -> None:
    """Levels 0, 0.5, 0.9, target `best` where none is given."""
    assert toy_spec().level(target) == level


def test_the_target_of_the_spec_is_the_default() -> None:
    assert toy_spec(target=0.6).level() == 1
    assert toy_spec(target="worst").level() == 0


@pytest.mark.parametrize("target", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_target_outside_the_training_scores_is_refused(target: float) -> None:
    with pytest.raises(ConfigError, match=rf"target={target}: outside the training scores \(0 to 1\).*0, 0.5, 0.9"):
        toy_spec().level(target)


@pytest.mark.parametrize("target", ["bset", [0.5]])
def test_a_target_that_is_no_goal_is_refused(target: Any) -> None:
    with pytest.raises(ConfigError, match=r"not a goal; ask for best, worst or a score from 0, 0\.5, 0\.9"):
        toy_spec().level(target)


@pytest.mark.parametrize(
    ("prompt_format", "placement", "text"),
    [
        ("plain", "before_prompt", "Good text.\nI wanted to"),
        ("plain", "after_prompt", "I wanted to\nGood text.\n"),
        ("chat", "before_prompt", "Good text.\nGo on: I wanted to"),
        ("chat", "after_prompt", "Go on: I wanted to\nGood text."),
    ],
)
def test_a_prompt_under_a_goal(prompt_format: str, placement: str, text: str) -> None:
    assert toy_spec(prompt_format=prompt_format, placement=placement).render("I wanted to", 2) == text


def test_a_prompt_without_a_goal() -> None:
    assert toy_spec().render("I wanted to", None) == "I wanted to"
    assert toy_spec(prompt_format="chat").render("I wanted to", None) == "Go on: I wanted to"


def test_a_placeholder_in_the_prompt_is_text() -> None:
    assert toy_spec(prompt_format="chat").render("a {prompt}", None) == "Go on: a {prompt}"


def test_an_unknown_placement_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"goal\.placement=role: unknown; one of before_prompt, after_prompt"):
        place("text", "goal", "role", "\n", chat=False)


def test_goal_json_keeps_everything(tmp_path: Path) -> None:
    spec = toy_spec(sentences=("schlecht 😶", "na ja", 'gut "{{ }}"'), target=0.5)
    spec.save(tmp_path)

    assert load_spec(tmp_path) == spec


def test_goal_json_reads_as_documented(tmp_path: Path) -> None:
    toy_spec().save(tmp_path)
    saved = json.loads((tmp_path / "goal.json").read_text(encoding="utf-8"))

    lists = {key: list(value) if isinstance(value, tuple) else value for key, value in TOY.items()}
    assert saved == {"format_version": 1} | lists


def test_a_missing_goal_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"goal\.json: no such file"):
        load_spec(tmp_path)


def edited(folder: Path, **changes: Any) -> None:
    """The toy spec's goal.json with some keys changed, or removed where the value is `...`."""
    toy_spec().save(folder)
    path = folder / "goal.json"
    values = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2; this gcsl reads 1. Update gcsl"),
        ({"format_version": ...}, "format version None"),
        ({"colour": "red"}, "key 'colour' is unknown. It was edited"),
        ({"levels": ...}, "key 'levels' is missing. It was edited"),
        ({"levels": [0.0, 0.5]}, "each needs one sentence"),
        ({"levels": [0.0, 0.9, 0.5]}, "levels have to ascend"),
        ({"levels": [0.0, 0.5, 0.5]}, "levels have to ascend"),
        ({"levels": [0.0], "sentences": ["Bad text."]}, "two at least"),
        ({"levels": 3}, "a value has the wrong type"),
        ({"levels": ["a", "b", "c"]}, "a value has the wrong type"),
        ({"sentences": [1, 2, 3]}, "sentences have to be texts"),
        ({"training_range": [-1.0, 1.0]}, r"training_range \[-1, 1\] has to lie above the lowest level 0"),
        ({"training_range": [0.5]}, "a value has the wrong type"),
        ({"placement": "middle"}, "placement is one of before_prompt, after_prompt"),
        ({"prompt_format": "html"}, "prompt_format one of plain, chat"),
        ({"instruction": "Go on."}, "instruction needs the placeholder {prompt}"),
        ({"instruction": None}, "a value has the wrong type"),
    ],
)
def test_an_edited_goal_json_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    edited(tmp_path, **changes)

    with pytest.raises(RunError, match=message):
        load_spec(tmp_path)


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


@pytest.mark.parametrize(("count", "picked"), [(2, "AE"), (3, "ACE"), (4, "ABDE"), (5, "ABCDE")])
def test_sentences_are_spread_over_the_levels(count: int, picked: str) -> None:
    """Four of five stand at 0, 4/3, 8/3, 4, rounded 0, 1, 3, 4."""
    assert "".join(pick_sentences("ABCDE", count)) == picked


@given(st.integers(2, 40), st.integers(2, 40))
def test_picked_sentences_keep_order_and_ends_and_none_twice(available: int, count: int) -> None:
    sentences = [f"{index:02}" for index in range(available)]
    if count > available:
        with pytest.raises(ConfigError, match=f"{count} levels and {available} sentences"):
            pick_sentences(sentences, count)
        return
    picked = list(pick_sentences(sentences, count))

    assert picked == sorted(set(picked))
    assert (len(picked), picked[0], picked[-1]) == (count, sentences[0], sentences[-1])
