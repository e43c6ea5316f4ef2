"""From the values of a row to prompt, completion and grade, or to the fault that it has."""

import json
import math
from dataclasses import dataclass
from typing import Any

from gcsl_cli.data.faults import Fault
from gcsl_cli.tasks.feedback.columns import Columns, value_of

ROLES = ("system", "user", "assistant", "tool")
ASKING = ("user", "tool")
MISSING = "missing"

Turn = dict[str, str]


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads rows of one file, all of the same kind."""

    columns: Columns
    conversations: bool
    """Prompts are lists of chat messages."""
    scale: tuple[float, float] | None
    """The ends that a grade has to lie between."""

    def __call__(self, row: dict[str, Any]) -> tuple[str, str, float]:
        """Prompt (a conversation as JSON), completion, grade.

        Raises:
            Fault: the row cannot be used.
        """
        columns = self.columns
        prompt = value_of(row, columns.prompt)
        grade = read_grade(value_of(row, columns.score), columns.score)
        if self.scale is not None and not self.scale[0] <= grade <= self.scale[1]:
            raise Fault("a grade outside task.scale", columns.score, grade)
        if not self.conversations:
            text = _text(prompt, columns.prompt)
            return text, _completion(value_of(row, str(columns.completion)), str(columns.completion)), grade
        turns = _turns(prompt, columns.prompt)
        if columns.completion is None:
            if turns[-1]["role"] != "assistant":
                raise Fault("a conversation that does not end with the assistant", columns.prompt, turns[-1])
            completion, turns = turns[-1]["content"], turns[:-1]
        else:
            completion = _completion(value_of(row, columns.completion), columns.completion)
        if not turns or turns[-1]["role"] not in ASKING:
            raise Fault("a prompt that does not end with the user", columns.prompt, turns[-1] if turns else [])
        return json.dumps(turns, ensure_ascii=False), completion, grade


def read_grade(value: Any, column: str) -> float:
    """A grade from a number, a truth value (1 for true) or the text of a number.

    Raises:
        Fault: it is none of these, or not finite.
    """
    if value is None or value == "":
        raise Fault(f"{column} is {MISSING}", column, value)
    if isinstance(value, str):
        try:
            grade = float(value)
        except ValueError:
            raise Fault(f"{column} is not a number", column, value) from None
    elif isinstance(value, int | float):
        try:
            grade = float(value)
        except OverflowError:
            raise Fault(f"{column} is not a finite number", column, value) from None
    else:
        raise Fault(f"{column} is not a number", column, value)
    if not math.isfinite(grade):
        raise Fault(f"{column} is not a finite number", column, str(value))
    return grade


def _text(value: Any, column: str) -> str:
    if isinstance(value, str):
        if not value or value.isspace():
            raise Fault(f"{column} is empty", column, value)
        return _unicode(value, column)
    if value is None:
        raise Fault(f"{column} is {MISSING}", column, None)
    if isinstance(value, list):
        raise Fault(f"{column} is a list of messages where the file begins with texts", column, value)
    raise Fault(f"{column} is not a text", column, value)


def _unicode(text: str, column: str) -> str:
    """The text, unless half of a character is in it, as JSON escapes can say."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Fault(f"{column} is not valid Unicode", column, ascii(text)) from None
    return text


def _completion(value: Any, column: str) -> str:
    """A text, or a list of one message of the assistant."""
    if not isinstance(value, list):
        return _text(value, column)
    turns = _turns(value, column)
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise Fault(f"{column} is not one message of the assistant", column, value)
    return turns[0]["content"]


def _turns(value: Any, column: str) -> list[Turn]:
    if value is None:
        raise Fault(f"{column} is {MISSING}", column, None)
    if not isinstance(value, list):
        raise Fault(f"{column} is not a list of messages as at the file's beginning", column, value)
    if not value:
        raise Fault(f"{column} is empty", column, value)
    turns = []
    for message in value:
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if role not in ROLES:
            raise Fault(f"a message whose role is none of {', '.join(ROLES)}", column, message)
        if not isinstance(content, str) or not content.strip():
            raise Fault("a message without a text", column, message)
        turns.append({"role": str(role), "content": _unicode(content, column)})
    return turns
