"""Which columns of a file hold prompt, completion and score: as configured, or by their usual names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gcsl_cli.errors import ConfigError, did_you_mean, listed

USUAL = {
    "prompt": ("prompt", "instruction", "question", "input", "messages"),
    "completion": ("completion", "response", "output", "answer"),
    "score": ("score", "rating", "reward", "grade", "label"),
}
CONVERSATION = "messages"


@dataclass
class ColumnsConfig:
    """Names of columns, dotted for a value within an object (`scores.helpfulness`); null: found by usual names."""

    prompt: str | None = None
    completion: str | None = None
    score: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file; without a completion, the prompt holds whole conversations."""

    prompt: str
    completion: str | None
    score: str


def find_columns(row: dict[str, Any], wanted: ColumnsConfig, file: str) -> Columns:
    """The columns by the names in the first row.

    Raises:
        ConfigError: a role has no column or several candidates, or a configured name is none.
    """
    names = list(row)
    completion = _find("completion", names, row, wanted.completion, file)
    prompt_names = names
    if completion is None and wanted.prompt is None:
        conversations = [name for name in names if name.lower() == CONVERSATION]
        prompt_names = conversations or names
        if not conversations:
            raise _missing("completion", names, file)
    elif completion is not None:
        prompt_names = [name for name in names if name != completion]
    prompt = _find("prompt", prompt_names, row, wanted.prompt, file)
    score = _find("score", names, row, wanted.score, file)
    if prompt is None:
        raise _missing("prompt", names, file)
    if score is None:
        raise _missing("score", names, file)
    return Columns(prompt, completion, score)


def value_of(row: dict[str, Any], column: str) -> Any:
    """The value of a column, `None` where it is missing."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _find(role: str, names: Sequence[str], row: dict[str, Any], wanted: str | None, file: str) -> str | None:
    if wanted is not None:
        if wanted not in names and value_of(row, wanted) is None:
            near = did_you_mean(wanted, [*names, *_nested(row)])
            raise ConfigError(f"task.columns.{role}={wanted}: no such column in {file}.{near} It has {listed(names)}.")
        return wanted
    found = [name for usual in USUAL[role] for name in names if name.lower() == usual]
    if len(found) > 1:
        raise ConfigError(
            f"{file}: {' and '.join(found)} could both be the {role}. Say which: task.columns.{role}={found[0]}."
        )
    return found[0] if found else None


def _nested(row: dict[str, Any]) -> list[str]:
    return [f"{name}.{inner}" for name, value in row.items() if isinstance(value, dict) for inner in value]


def _missing(role: str, names: Sequence[str], file: str) -> ConfigError:
    return ConfigError(
        f"{file}: no column that is known as the {role} ({listed(USUAL[role])}); it has {listed(names)}. "
        f"Say which: task.columns.{role}=NAME."
    )
