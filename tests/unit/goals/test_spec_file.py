"""Reading and writing goal.json."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.errors import RunError, StorageError
from gcsl_cli.goals.spec_file import load_spec, save_spec
from tests.unit.goals.toy import RAW, TOY, toy_spec


@pytest.mark.parametrize("changes", [{"texts": ("schlecht 😶", "na ja", 'gut "{{ }}"'), "target": 0.5}, RAW])
def test_goal_json_round_trip(tmp_path: Path, changes: dict[str, Any]) -> None:
    spec = toy_spec(**changes)
    save_spec(spec, tmp_path)

    assert load_spec(tmp_path) == spec


def test_goal_json_as_documented(tmp_path: Path) -> None:
    save_spec(toy_spec(), tmp_path)
    saved = json.loads((tmp_path / "goal.json").read_text(encoding="utf-8"))
    checksum = saved.pop("checksum")

    lists = {key: list(value) if isinstance(value, tuple) else value for key, value in TOY.items()}
    assert saved == {"format_version": 2} | lists | {"scale": asdict(toy_spec().scale)}
    assert len(checksum) == 16


def test_missing_goal_json_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"goal\.json: no such file"):
        load_spec(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 3}, "format version 3; this gcsl reads version 2. Update gcsl"),
        ({"format_version": 1}, "format version 1; this gcsl reads version 2. Train again"),
        ({"format_version": ...}, "format version None"),
        ({"colour": "red"}, "key 'colour' is unknown. The file was edited"),
        ({"levels": ...}, "key 'levels' is missing. The file was edited"),
        ({"checksum": ...}, "the checksum does not match. The file was edited"),
        ({"levels": [0.0, 0.5]}, "the checksum does not match"),
        ({"levels": 3}, "the checksum does not match"),
        ({"texts": ["Bad text.", "Fair text.", "Superb text."]}, "the checksum does not match"),
        ({"target": 0.5}, r"Train again, or request another goal with generation\.target"),
        ({"scale": None}, "the checksum does not match"),
    ],
)
def test_edited_goal_json_is_rejected(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    save_spec(toy_spec(), tmp_path)
    path = tmp_path / "goal.json"
    values = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}), encoding="utf-8")

    with pytest.raises(RunError, match=message):
        load_spec(tmp_path)


def test_reformatted_goal_json_is_accepted(tmp_path: Path) -> None:
    save_spec(toy_spec(), tmp_path)
    path = tmp_path / "goal.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=None), encoding="utf-8")

    assert load_spec(tmp_path) == toy_spec()


def test_truncated_goal_json_is_rejected(tmp_path: Path) -> None:
    save_spec(toy_spec(), tmp_path)
    path = tmp_path / "goal.json"
    path.write_text(path.read_text(encoding="utf-8")[:50], encoding="utf-8")

    with pytest.raises(RunError, match=r"goal\.json: not valid JSON"):
        load_spec(tmp_path)


def test_goal_json_cannot_be_saved_to_an_impossible_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError):
        save_spec(toy_spec(), tmp_path / "file")
