"""Read files of graded completions into an Arrow table, and check every row: texts, chat messages and grades."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from gcsl_cli.data.input_files import Fault, Faults, NumberedRow, Place, Row, read_rows
from gcsl_cli.errors import DataError
from gcsl_cli.tasks.feedback.columns import Columns, ColumnsConfig, find_columns, value_of

CHUNK = 50_000
"""Rows per Arrow batch."""
SAMPLE = 100
"""Rows that are inspected to find a file's columns, since any one row may lack some."""
ROLES = ("system", "user", "assistant", "tool")
GRADED = pa.schema(
    [("prompt", pa.string()), ("completion", pa.string()), ("grade", pa.float64()), ("prompt_id", pa.string())]
)

Turn = dict[str, str]


@dataclass
class GradedFile:
    """The usable rows of one or more files, the columns they came from, and the faults of the other rows."""

    table: pa.Table
    """Has the columns of `GRADED`."""
    columns: Columns
    faults: Faults = field(default_factory=Faults)


def first_values(files: Sequence[Path]) -> Row:
    """Merge the first readable rows, each column's first value that is not null; `DataError` if no row can be read."""
    found: Row = {}
    rows = 0
    for _, (_, row) in _all_rows(files):
        if not isinstance(row, Fault):
            found |= {name: value for name, value in row.items() if found.get(name) is None}
            rows += 1
        if rows == SAMPLE:
            break
    if not rows:
        raise DataError(f"{files[0]}: not one row can be read. Is this the right file, or is it damaged?")
    return found


def holds_conversations(row: Row, columns: Columns) -> bool:
    """Return True if the prompts are lists of chat messages, judging by one row."""
    return columns.completion is None or isinstance(value_of(row, columns.prompt), list)


def read_graded(
    files: Sequence[Path],
    config: ColumnsConfig,
    scale: tuple[float, float] | None,
    identify: Callable[[str], str],
    reject: Callable[[str], object],
) -> GradedFile:
    """Read all usable rows of files that share their columns, in order.

    `scale` are the lowest and highest valid grade, `identify` maps a prompt to its identity, and `reject` gets a JSON
    line for each row that cannot be used.
    """
    sample = first_values(files)
    columns = find_columns(sample, config, files[0].name)
    parse = RowParser(columns, holds_conversations(sample, columns), scale)
    graded = GradedFile(GRADED.empty_table(), columns)
    batches: list[pa.RecordBatch] = []
    rows: list[tuple[str, str, float, str]] = []
    for file, (line, row) in _all_rows(files):
        try:
            if isinstance(row, Fault):
                raise row
            prompt, completion, grade = parse(row)
        except Fault as fault:
            graded.faults.add(fault, Place(Path(file), line))
            entry = {"file": file, "line": line, "reason": fault.kind, "column": fault.column, "value": fault.value}
            entry["row"] = None if isinstance(row, Fault) else row
            # ASCII only: the row may contain lone surrogates, which UTF-8 cannot encode.
            reject(json.dumps(entry, default=str) + "\n")
            continue
        rows.append((prompt, completion, grade, identify(prompt)))
        if len(rows) == CHUNK:
            batches.append(_batch(rows))
            rows = []
    graded.table = pa.Table.from_batches([*batches, _batch(rows)], GRADED)
    return graded


def _all_rows(files: Sequence[Path]) -> Iterator[tuple[str, NumberedRow]]:
    for path in files:
        for row in read_rows(path):
            yield path.name, row


def _batch(rows: Sequence[tuple[str, str, float, str]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(GRADED)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, GRADED, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=GRADED)


@dataclass(frozen=True, slots=True)
class RowParser:
    """Parses the rows of one file."""

    columns: Columns
    conversations: bool
    """Prompts are lists of chat messages."""
    scale: tuple[float, float] | None
    """Lowest and highest valid grade."""

    def __call__(self, row: Row) -> tuple[str, str, float]:
        """Return the prompt (a conversation as JSON), the completion and the grade.

        Raises:
            Fault: the row cannot be used.
        """
        columns = self.columns
        prompt = value_of(row, columns.prompt)
        grade = parse_grade(value_of(row, columns.score), columns.score)
        if self.scale is not None and not self.scale[0] <= grade <= self.scale[1]:
            raise Fault("grade outside task.scale", columns.score, grade)
        if not self.conversations:
            text = _text(prompt, columns.prompt)
            return text, _completion(value_of(row, str(columns.completion)), str(columns.completion)), grade
        turns = _turns(prompt, columns.prompt)
        if columns.completion is None:
            if turns[-1]["role"] != "assistant":
                raise Fault("conversation does not end with the assistant", columns.prompt, turns[-1])
            completion, turns = turns[-1]["content"], turns[:-1]
        else:
            completion = _completion(value_of(row, columns.completion), columns.completion)
        if not turns or turns[-1]["role"] not in ("user", "tool"):
            raise Fault("prompt does not end with the user", columns.prompt, turns[-1] if turns else [])
        return json.dumps(turns, ensure_ascii=False), completion, grade


def parse_grade(value: Any, column: str) -> float:
    """Convert a number, a boolean (true is 1) or numeric text to a grade.

    Raises:
        Fault: the value is none of these, or not finite.
    """
    if value is None or value == "":
        raise Fault(f"{column} is missing", column, value)
    if not isinstance(value, int | float | str):
        raise Fault(f"{column} is not a number", column, value)
    try:
        grade = float(value)
    except ValueError:
        raise Fault(f"{column} is not a number", column, value) from None
    except OverflowError:
        raise Fault(f"{column} is not a finite number", column, value) from None
    if not math.isfinite(grade):
        raise Fault(f"{column} is not a finite number", column, str(value))
    return grade


def _text(value: Any, column: str) -> str:
    if value is None:
        raise Fault(f"{column} is missing", column, None)
    if isinstance(value, list):
        raise Fault(f"{column} is a list of messages, but the file starts with plain text", column, value)
    if not isinstance(value, str):
        raise Fault(f"{column} is not text", column, value)
    if not value.strip():
        raise Fault(f"{column} is empty", column, value)
    return _unicode(value, column)


def _unicode(text: str, column: str) -> str:
    """Refuse lone surrogates, which JSON escapes can produce."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Fault(f"{column} is not valid Unicode", column, ascii(text)) from None
    return text


def _completion(value: Any, column: str) -> str:
    """Accept text, or a list with a single assistant message."""
    if not isinstance(value, list):
        return _text(value, column)
    turns = _turns(value, column)
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise Fault(f"{column} is not a single assistant message", column, value)
    return turns[0]["content"]


def _turns(value: Any, column: str) -> list[Turn]:
    if value is None:
        raise Fault(f"{column} is missing", column, None)
    if not isinstance(value, list):
        raise Fault(f"{column} is not a list of messages, but the file starts with lists", column, value)
    if not value:
        raise Fault(f"{column} is empty", column, value)
    turns = []
    for message in value:
        fields = message if isinstance(message, dict) else {}
        role, content = fields.get("role"), fields.get("content")
        if role not in ROLES:
            raise Fault(f"message role is none of {', '.join(ROLES)}", column, message)
        if not isinstance(content, str) or not content.strip():
            raise Fault("message without text", column, message)
        turns.append({"role": str(role), "content": _unicode(content, column)})
    return turns
