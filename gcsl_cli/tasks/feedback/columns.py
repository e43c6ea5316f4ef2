"""Find the columns that hold the prompt, completion and score: as configured, or by their usual names.

A column is named by its path, `scores.helpfulness` for a value inside an object. A path may pass through a list:
`completions.response` are the responses of all completions of a row. Prompts may be joined: `instruction+input`; of
completions and grades, `response_0+response_1` are several.
"""

import ast
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gcsl_cli.data.input_files import is_number
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
TEXTS = {"text", "content", "value"}
"""Keys of the texts in objects."""
MOST_NAMED, DEEPEST = 30, 5
"""Columns that an error names, and how deep in objects they may be."""


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
    # Without completions, conversations end with them.
    prompt_names = [name for name in names if name != completion]
    conversations = [name for name in names if name.lower() in CONVERSATIONS]
    if completion is None and config.prompt is None and conversations:
        prompt_names = conversations
    whole = completion is None and (
        bool(conversations) if config.prompt is None else conversation_in(value_of(row, config.prompt)) is not None
    )
    prompt = find_prompt(prompt_names, row, config.prompt, file)
    for column in several:
        find_column("scores", names, row, column, file)
    score = ", ".join(several) or find_column("score", names, row, score, file) or _score_list(row)
    roles = {"completion": completion is not None or whole, "prompt": prompt is not None, "score": score is not None}
    if prompt is None or score is None or not all(roles.values()):
        raise missing_columns([role for role, found in roles.items() if not found], row, file)
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


def values_of(row: dict[str, Any], column: str) -> Any:
    """As `value_of`; of columns joined by `+`, which hold a completion or a grade each, a list."""
    if JOIN in column and column not in row:
        return [value_of(row, part) for part in column.split(JOIN)]
    return value_of(row, column)


def conversation_in(value: Any) -> list[Any] | None:
    """A list, or one of chat messages that is written as text, in JSON or in Python's notation as in pandas' CSV."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str) or not value.lstrip().startswith("[{"):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, list) and is_message(found[0]) else None
    return None


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
    names = [name for name in names if configured is not None or not isinstance(row[name], dict)]
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
        for part in [configured] if configured in row else configured.split(JOIN):
            if not _exists(row, part):
                nested = [f"{name}.{inner}" for name, value in row.items() for inner in _keys(value)]
                near = did_you_mean(part, [*names, *nested])
                raise MissingColumnError(
                    f"task.columns.{role}={part}: {file} has no such column.{near} Its columns: {listed(names)}."
                )
        return configured
    names = [name for name in names if is_message(row[name]) or not isinstance(row[name], dict)]
    found = named(names, USUAL[role]) or named(names, RARER[role])
    if len(found) > 1:
        raise ConfigError(
            f"{file}: {' and '.join(found)} could each be the {role}. Choose one, for example "
            f"task.columns.{role}={found[0]}."
        )
    return found[0] if found else None


def named(names: Iterable[str], usual: Sequence[str]) -> list[str]:
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
    lists = {name: value for name, value in row.items() if isinstance(value, list) and _is_text(value)}
    return next((name for name in lists if name.lower() in LISTS["completion"]), None), None


def _score_list(row: dict[str, Any]) -> str | None:
    return next((name for name in row if name.lower() in LISTS["score"] and isinstance(row[name], list)), None)


def missing_columns(roles: Sequence[str], row: dict[str, Any], file: str) -> ConfigError:
    """The error for columns that were not found, with settings to paste where some value looks right."""
    leaves = dict(_leaves(row))
    wanted = " or ".join(f"{role} column found ({listed([*USUAL[role], *RARER[role]])})" for role in roles)
    fixes = [f"task.columns.{role}={_likely(role, leaves) or 'NAME'}" for role in roles]
    return MissingColumnError(
        f"{file}: no {wanted}. Its columns: {listed(list(leaves)[:MOST_NAMED])}"
        f"{' and others' if len(leaves) > MOST_NAMED else ''}. Set {' '.join(map(shlex.quote, fixes))}."
    )


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The paths of values that are not objects, also in lists of objects, and the values."""
    turns = isinstance(value, list) and bool(value) and is_message(value[0])
    # Of a conversation, the last message may have a grade.
    held = value[-1 if turns else 0] if isinstance(value, list) and value else value
    if turns or not isinstance(held, dict) or not held:
        yield path, value
    if isinstance(held, dict) and path.count(".") < DEEPEST:
        for name, inner in held.items():
            if not turns or _is_grade(inner):
                yield from _leaves(inner, f"{path}.{name}" if path else name)


def _likely(role: str, leaves: Mapping[str, Any]) -> str | None:
    """The path that may be meant by a role: one with a usual name in it, or for a score one with numbers.

    Paths that differ in a number or a last letter, `response_0` and `response_1`, are joined.
    """
    usual = {*USUAL[role], *RARER[role], *LISTS.get(role, ())}
    found = []
    for path, value in leaves.items():
        *parents, last = path.lower().split(".")
        if role == "score" and _is_grade(value) and not last.endswith(("id", "index")):
            found.append((not any(word in path.lower() for word in usual), False, path))
        elif role != "score" and _is_text(value) and any(word in path.lower() for word in usual):
            found.append((not usual & {*parents, last}, last not in usual | TEXTS, path))
    best = min(found, key=lambda ranked: ranked[:2], default=None)
    same = [path for *_, path in found if best and _outline(path) == _outline(best[2])]
    return JOIN.join(same[:1] if role == "prompt" else same) or None


def _outline(path: str) -> str:
    return re.sub(r"\d+|(?<=_)[AaBb]$", "#", path)


def _is_grade(value: Any) -> bool:
    first = value[0] if isinstance(value, list) and value else value
    return is_number(first)


def _is_text(value: Any) -> bool:
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, str) or is_message(first)
