"""From a row of a file to graded completions: texts or conversations, one completion per row or several."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from gcsl_cli.data.input_files import Fault, Row
from gcsl_cli.errors import listed
from gcsl_cli.tasks.feedback.columns import Columns, conversation_in, is_message, value_of, values_of
from gcsl_cli.tasks.feedback.conversations import completion_of, turns, unicode, with_tools
from gcsl_cli.tasks.feedback.grades import GradeRules
from gcsl_cli.tasks.feedback.scores import KEY

TOOLS = "tools"
"""The column of the tools that a conversation may call."""
NUMBERS = "completions that are numbers, read as text"

Graded = tuple[str, str, *tuple[float, ...]]
"""The prompt (a conversation as JSON), the completion, and the grade or several, NaN where one is not known."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the columns of a file hold, judging by its first values."""

    conversations: bool
    """Prompts are lists of chat messages."""
    several: bool
    """Rows hold several completions each."""
    raters: bool
    """Completions have several ratings each."""

    @staticmethod
    def of(row: Row, columns: Columns) -> "Shape":
        """Judge by one row."""
        prompt = None if columns.joined else value_of(row, columns.prompt)
        if columns.completion is None:
            return Shape(True, False, any(isinstance(values_of(row, column), list) for column in columns.graded))
        several = _is_list_of_completions(values_of(row, columns.completion))
        grades = [values_of(row, column) for column in columns.graded]
        first = [grade[0] if several and isinstance(grade, list) and grade else grade for grade in grades]
        return Shape(conversation_in(prompt) is not None, several, any(isinstance(grade, list) for grade in first))


@dataclass(frozen=True, slots=True)
class RowParser:
    """Parses the rows of one file."""

    columns: Columns
    shape: Shape
    rules: GradeRules
    scale: tuple[float, float] | None
    """Lowest and highest valid grade."""
    scales: tuple[tuple[float, float] | None, ...] = ()
    """The same of each of several scores."""
    notes: Counter[str] = field(default_factory=Counter)
    """What was changed in rows, and how often."""

    def __call__(self, row: Row) -> Sequence[Graded | Fault]:
        """The graded completions of a row, with a fault in place of each that cannot be used."""
        columns = self.columns
        completion = None if columns.completion is None else values_of(row, columns.completion)
        if columns.scores:
            return self._several(row, completion, [value_of(row, column) for column in columns.scores])
        grade = values_of(row, columns.score)
        if not self.shape.several:
            return (self._graded(row, completion, grade),)
        if not isinstance(completion, list) or not completion:
            return (Fault(f"{columns.completion} is not a list of completions", str(columns.completion), completion),)
        if len(completion) == 1 and not isinstance(grade, list):
            grade = [grade]
        if not isinstance(grade, list) or len(grade) != len(completion):
            count = len(grade) if isinstance(grade, list) else 1
            return (Fault(f"{len(completion)} completions and {count} grades", columns.score, grade),)
        return [self._graded(row, *pair) for pair in zip(completion, grade, strict=True)]

    def _several(self, row: Row, completion: Any, grades: list[Any]) -> Sequence[Graded | Fault]:
        """The completions of a row with several scores: of each a grade, or a list of one per completion."""
        columns = self.columns
        if not self.shape.several:
            return (self._graded_by_all(row, completion, grades),)
        if not isinstance(completion, list) or not completion:
            return (Fault(f"{columns.completion} is not a list of completions", str(columns.completion), completion),)
        for column, grade in zip(columns.scores, grades, strict=True):
            if not isinstance(grade, list) or len(grade) != len(completion):
                count = len(grade) if isinstance(grade, list) else 1
                return (Fault(f"{len(completion)} completions and {count} grades", column, grade),)
        each = zip(*grades, strict=True)
        return [self._graded_by_all(row, text, [*own]) for text, own in zip(completion, each, strict=True)]

    def _graded_by_all(self, row: Row, completion: Any, values: list[Any]) -> Graded | Fault:
        columns = self.columns.scores
        try:
            grades = [
                math.nan if value is None or value == "" else self._grade(value, column, scale, f"{KEY}.scale")
                for value, column, scale in zip(values, columns, self.scales, strict=True)
            ]
            if all(map(math.isnan, grades)):
                raise Fault(f"{listed(columns)} are all missing", columns[0], None)
            prompt, text = self._texts(row, completion)
        except Fault as fault:
            return fault
        return prompt, text, *grades

    def _graded(self, row: Row, completion: Any, value: Any) -> Graded | Fault:
        try:
            grade = self._grade(value, self.columns.score, self.scale, "task.scale")
            prompt, text = self._texts(row, completion)
        except Fault as fault:
            return fault
        return prompt, text, grade

    def _grade(self, value: Any, column: str, scale: tuple[float, float] | None, key: str) -> float:
        if isinstance(value, list) and not self.shape.raters:
            raise Fault(f"{column} is not a number", column, value)
        grade = self.rules.grade(value, column)
        if scale is not None and not scale[0] <= grade <= scale[1]:
            raise Fault(f"grade outside {key}", column, grade)
        return grade

    def _texts(self, row: Row, completion: Any) -> tuple[str, str]:
        columns = self.columns
        if self.shape.conversations:
            return self._conversation(row, completion)
        prompt = prompt_text(row, columns.prompt, columns.joined)
        return prompt, answer_text(completion, str(columns.completion), self.notes)

    def _conversation(self, row: Row, completion: Any) -> tuple[str, str]:
        columns = self.columns
        conversation = turns(value_of(row, columns.prompt), columns.prompt, self.notes)
        if columns.completion is None:
            if not conversation or conversation[-1]["role"] != "assistant":
                raise Fault("conversation does not end with the assistant", columns.prompt, conversation[-1:])
            text, conversation = completion_of(conversation[-1]), conversation[:-1]
        else:
            answer = completion if conversation_in(completion) is None else conversation_in(completion)
            text = answer_text(answer, columns.completion, self.notes)
        if not conversation or conversation[-1]["role"] not in ("user", "tool"):
            raise Fault("prompt does not end with the user", columns.prompt, conversation[-1:])
        return with_tools(conversation, row.get(TOOLS)), text


def prompt_text(row: Row, prompt: str, joined: Sequence[str] = ()) -> str:
    """The text of the prompt column, or the texts of the columns that are joined.

    Raises:
        Fault: there is no text.
    """
    if not joined:
        return _text(value_of(row, prompt), prompt)
    parts = [(part, value_of(row, part)) for part in joined]
    texts = [_text(value, part) for part, value in parts if value is not None and value != ""]
    if not texts:
        raise Fault(f"{prompt} is empty", prompt, parts[0][1])
    return "\n\n".join(texts)


def answer_text(value: Any, column: str, notes: Counter[str]) -> str:
    """A completion: text, a number, an assistant message, or a list of that one message.

    Raises:
        Fault: it is none of these.
    """
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        notes[NUMBERS] += 1
        return str(value)
    if not isinstance(value, list) and not is_message(value):
        return _text(value, column)
    found = turns([value] if isinstance(value, dict) else value, column, notes)
    if len(found) != 1 or found[0]["role"] != "assistant":
        raise Fault(f"{column} is not a single assistant message", column, value)
    return completion_of(found[0])


def first_lists(row: Row, columns: Columns) -> Sequence[Any]:
    """The values that decide on the shape of a file."""
    names = [*(columns.joined or (columns.prompt,)), columns.completion, *columns.graded]
    return [values_of(row, name) for name in names if name is not None]


def _is_list_of_completions(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and not is_message(value[0])


def _text(value: Any, column: str) -> str:
    if value is None:
        raise Fault(f"{column} is missing", column, None)
    if isinstance(value, list):
        raise Fault(f"{column} is a list of messages, but the file starts with plain text", column, value)
    if not isinstance(value, str):
        raise Fault(f"{column} is not text", column, value)
    if not value.strip():
        raise Fault(f"{column} is empty", column, value)
    return unicode(value, column)
