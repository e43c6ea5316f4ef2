"""Find the columns that hold the prompt, completion and score: as configured, or by their usual names."""

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
    """Column names, dotted for a value inside an object (`scores.helpfulness`); null: find by usual names."""

    prompt: str | None = None
    completion: str | None = None
    score: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file. Without a completion column, the prompt column holds whole conversations."""

    prompt: str
    completion: str | None
    score: str


def find_columns(row: dict[str, Any], config: ColumnsConfig, file: str) -> Columns:
    """Find the columns among the names in `row`.

    Raises:
        ConfigError: a column is missing or ambiguous, or a configured name does not exist.
    """
    names = list(row)
    completion = _find("completion", names, row, config.completion, file)
    prompt_names = [name for name in names if name != completion]
    if completion is None and config.prompt is None:
        prompt_names = [name for name in names if name.lower() == CONVERSATION]
        if not prompt_names:
            raise _missing("completion", names, file)
    prompt = _find("prompt", prompt_names, row, config.prompt, file)
    score = _find("score", names, row, config.score, file)
    if prompt is None:
        raise _missing("prompt", names, file)
    if score is None:
        raise _missing("score", names, file)
    return Columns(prompt, completion, score)


def value_of(row: dict[str, Any], column: str) -> Any:
    """Look up a column, which may be dotted; None if it is missing."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _find(role: str, names: Sequence[str], row: dict[str, Any], configured: str | None, file: str) -> str | None:
    if configured is not None:
        if configured not in names and value_of(row, configured) is None:
            nested = [f"{name}.{inner}" for name, value in row.items() if isinstance(value, dict) for inner in value]
            near = did_you_mean(configured, [*names, *nested])
            raise ConfigError(
                f"task.columns.{role}={configured}: {file} has no such column.{near} Its columns: {listed(names)}."
            )
        return configured
    found = [name for usual in USUAL[role] for name in names if name.lower() == usual]
    if len(found) > 1:
        raise ConfigError(
            f"{file}: {' and '.join(found)} could each be the {role}. Choose one, for example "
            f"task.columns.{role}={found[0]}."
        )
    return found[0] if found else None


def _missing(role: str, names: Sequence[str], file: str) -> ConfigError:
    return ConfigError(
        f"{file}: no {role} column found ({listed(USUAL[role])}). Its columns: {listed(names)}. "
        f"Set task.columns.{role}=NAME."
    )
