"""Find the columns that hold the prompt, completion and score: as configured, or by their usual names.

A column is named by its path, `scores.helpfulness` for a value inside an object. A path may pass through a list:
`completions.response` are the responses of all completions of a row. Prompts may be joined: `instruction+input`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gcsl_cli.errors import ConfigError, did_you_mean, listed

USUAL = {
    "prompt": ("prompt", "instruction", "question", "input", "messages"),
    "completion": ("completion", "response", "output", "answer"),
    "score": ("score", "rating", "reward", "grade", "label"),
}
RARER = {"prompt": ("conversations", "conversation"), "completion": (), "score": ("overall_score",)}
"""Names that count if none of the usual ones is there."""
LISTS = {
    "completion": ("completions", "responses", "outputs", "answers", "candidates", "generations"),
    "score": ("scores", "ratings", "rewards", "grades", "labels"),
}
"""Usual names of columns that hold a list per row."""
CONVERSATIONS = ("messages", "conversations", "conversation")
ROLE_KEYS = ("role", "from")
"""Keys that tell who speaks in a chat message."""
JOINED = ("instruction", "input")
"""The columns of Alpaca's format, of which the second is often empty."""
JOIN = "+"


@dataclass
class ColumnsConfig:
    """Column names, dotted for a value inside an object (`scores.helpfulness`); null: find by usual names."""

    prompt: str | None = None
    completion: str | None = None
    score: str | None = None
    scores: Any = None
    """Columns of several scores; see `scores.py`."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file. Without a completion column, the prompt column holds whole conversations."""

    prompt: str
    completion: str | None
    score: str
    joined: tuple[str, ...] = ()
    """The columns that make up the prompt, if there are several."""
    scores: tuple[str, ...] = ()
    """The columns of several scores; empty if there is one."""

    @property
    def graded(self) -> tuple[str, ...]:
        """The columns that hold grades."""
        return self.scores or (self.score,)


class MissingColumnError(ConfigError):
    """A column is missing, at least from the rows that were seen so far."""


def find_columns(row: dict[str, Any], config: ColumnsConfig, file: str, several: Sequence[str] = ()) -> Columns:
    """Find the columns among the names in `row`, whose values are examples; `several` are the columns of scores.

    Raises:
        MissingColumnError: a column is missing, or a configured name does not exist.
        ConfigError: a column is ambiguous.
    """
    names = list(row)
    completion = find_column("completion", names, row, config.completion, file)
    score = config.score
    if completion is None and config.prompt not in CONVERSATIONS:
        completion, inner = _candidates(row)
        score = score or inner
    prompt_names = [name for name in names if name != completion]
    if completion is None and config.prompt is None:
        prompt_names = [name for name in names if name.lower() in CONVERSATIONS]
        if not prompt_names:
            raise missing_column("completion", names, file)
    prompt = find_prompt(prompt_names, row, config.prompt, file)
    for column in several:
        find_column("scores", names, row, column, file)
    score = ", ".join(several) or find_column("score", names, row, score, file) or _score_list(row)
    if prompt is None:
        raise missing_column("prompt", names, file)
    if score is None:
        raise missing_column("score", names, file)
    joined = tuple(prompt.split(JOIN)) if prompt not in row and JOIN in prompt else ()
    return Columns(prompt, completion, score, joined, tuple(several))


def value_of(row: dict[str, Any], column: str) -> Any:
    """Look up a column, which may be dotted; None if it is missing, and a list where the path passes through one."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        value = _inside(value, part)
    return value


def is_message(value: Any) -> bool:
    """Return True for a chat message."""
    return isinstance(value, dict) and any(key in value for key in ROLE_KEYS)


def _inside(value: Any, part: str) -> Any:
    if isinstance(value, list):
        return [_inside(item, part) for item in value]
    return value.get(part) if isinstance(value, dict) else None


def _exists(row: dict[str, Any], column: str) -> bool:
    """Whether there is such a column, even if all its values are null."""
    if column in row:
        return True
    path, _, last = column.rpartition(".")
    parents = value_of(row, path) if path else None
    return any(isinstance(parent, dict) and last in parent for parent in _flat(parents))


def _flat(value: Any) -> list[Any]:
    return [inner for item in value for inner in _flat(item)] if isinstance(value, list) else [value]


def find_prompt(names: Sequence[str], row: dict[str, Any], configured: str | None, file: str) -> str | None:
    """The prompt's column among `names`, or several joined by `+`; None if there is none. Raises as `find_columns`."""
    if configured is not None and JOIN in configured and configured not in row:
        for part in configured.split(JOIN):
            find_column("prompt", names, row, part, file)
        return configured
    folded = {name.lower(): name for name in names}
    found = [name for name in folded if name in USUAL["prompt"]]
    if configured is None and sorted(found) == sorted(JOINED):
        return JOIN.join(folded[name] for name in JOINED)
    return find_column("prompt", names, row, configured, file)


def find_column(role: str, names: Sequence[str], row: dict[str, Any], configured: str | None, file: str) -> str | None:
    """The column of a role among `names`, as configured or by its usual names; None if there is none.

    Raises as `find_columns`.
    """
    if configured is not None:
        configured = configured.replace("[]", "")
        if not _exists(row, configured):
            nested = [f"{name}.{inner}" for name, value in row.items() for inner in _keys(value)]
            near = did_you_mean(configured, [*names, *nested])
            raise MissingColumnError(
                f"task.columns.{role}={configured}: {file} has no such column.{near} Its columns: {listed(names)}."
            )
        return configured
    found = named(names, USUAL[role]) or named(names, RARER[role])
    if len(found) > 1:
        raise ConfigError(
            f"{file}: {' and '.join(found)} could each be the {role}. Choose one, for example "
            f"task.columns.{role}={found[0]}."
        )
    return found[0] if found else None


def named(names: Sequence[str], usual: Sequence[str]) -> list[str]:
    """The names that are among the usual ones, in the order of these."""
    return [name for one in usual for name in names if name.lower() == one]


def _keys(value: Any) -> list[str]:
    """The keys of an object, or of the first object in a list."""
    first = value[0] if isinstance(value, list) and value else value
    return list(first) if isinstance(first, dict) else []


def _candidates(row: dict[str, Any]) -> tuple[str | None, str | None]:
    """The column of several completions per row, and that of their scores if these stand beside each completion."""
    for name, value in row.items():
        keys = _keys(value) if isinstance(value, list) and not is_message(value[0] if value else None) else []
        completions = named(keys, USUAL["completion"])
        if completions:
            scores = named(keys, USUAL["score"]) or named(keys, RARER["score"])
            return f"{name}.{completions[0]}", f"{name}.{scores[0]}" if scores else None
    listing = (name for name in row if name.lower() in LISTS["completion"] and isinstance(row[name], list))
    return next(listing, None), None


def _score_list(row: dict[str, Any]) -> str | None:
    return next((name for name in row if name.lower() in LISTS["score"] and isinstance(row[name], list)), None)


def missing_column(role: str, names: Sequence[str], file: str) -> ConfigError:
    """The error for a column that was not found."""
    return MissingColumnError(
        f"{file}: no {role} column found ({listed([*USUAL[role], *RARER[role]])}). Its columns: {listed(names)}. "
        f"Set task.columns.{role}=NAME."
    )
