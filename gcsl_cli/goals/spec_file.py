r"""`goal.json`: the goal spec, saved next to the model. Generation reads goals from there, as training had them.

{"format_version": 2, "task": "toxicity", "formulation": "threshold", "wording": "language", "levels": [0.0, 0.9],
 "texts": ["The following text is ...", ...], "placement": "before_prompt", "separator": "\n", ..., "checksum": ...}
"""

import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from gcsl_cli.errors import RunError
from gcsl_cli.goals.joint import JointSpec
from gcsl_cli.goals.scale import Scale
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.runs.files import read_json, write_json

FORMAT_VERSION = 2
SEVERAL_VERSION = 3
"""Format of specs with several scores, which older versions of gcsl cannot read."""
FILE_NAME = "goal.json"


def save_spec(spec: GoalSpec, folder: Path) -> None:
    """Write `goal.json` into `folder`.

    Raises:
        StorageError: it cannot be written.
    """
    values = {"format_version": _version(type(spec)), **asdict(spec)}
    write_json(folder / FILE_NAME, {**values, "checksum": _checksum(values)})


def load_spec(folder: Path) -> GoalSpec:
    """Read `goal.json` from `folder`.

    Raises:
        RunError: it is missing, has another format version, or was edited.
    """
    path = folder / FILE_NAME
    values = read_json(path)
    version = values.get("format_version")
    kind = JointSpec if "parts" in values else GoalSpec
    if version != _version(kind):
        newer = isinstance(version, int) and version > _version(kind)
        fix = "Update gcsl" if newer else "Train again, or use the gcsl version that wrote it"
        raise RunError(f"{path}: format version {version}; this gcsl reads version {_version(kind)}. {fix}.")
    checksum = values.pop("checksum", None)
    known = {"format_version", *(field.name for field in fields(kind))}
    unexpected = sorted(known.symmetric_difference(values))
    if unexpected or checksum != _checksum(values):
        fault = "the checksum does not match"
        if unexpected:
            fault = f"key {unexpected[0]!r} is {'unknown' if unexpected[0] in values else 'missing'}"
        raise RunError(
            f"{path}: {fault}. The file was edited, but the model only knows the goals it was trained on. Train again, "
            "or request another goal with generation.target."
        )
    del values["format_version"]
    if kind is GoalSpec:
        return _loaded(GoalSpec, values)
    parts = tuple(_loaded(GoalSpec, part) for part in values.pop("parts"))
    combinations = tuple(tuple(levels) for levels in values.pop("combinations"))
    return _loaded(kind, values | {"parts": parts, "combinations": combinations})


def _loaded(kind: "type[GoalSpec]", values: dict[str, Any]) -> GoalSpec:
    loaded: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return kind(**loaded | {"scale": Scale(**values["scale"])})


def _version(kind: "type[GoalSpec]") -> int:
    return FORMAT_VERSION if kind is GoalSpec else SEVERAL_VERSION


def _checksum(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
