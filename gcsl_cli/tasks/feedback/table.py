"""A whole file, or a folder of them, as an Arrow table of feedback rows; a million rows are as large as their texts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from gcsl_cli.data.faults import Fault, Faults, rejected_line
from gcsl_cli.data.jsonl import Place
from gcsl_cli.data.readers import Read, read_rows
from gcsl_cli.errors import DataError
from gcsl_cli.tasks.feedback.columns import Columns, ColumnsConfig, find_columns, value_of
from gcsl_cli.tasks.feedback.rows import RowReader

CHUNK = 50_000
BEGINNING = 100
"""Rows whose columns say what a file holds: a column may be missing in some of them."""
GRADED = pa.schema(
    [("prompt", pa.string()), ("completion", pa.string()), ("grade", pa.float64()), ("prompt_id", pa.string())]
)


@dataclass
class GradedFile:
    """What was read: rows, the columns they came from, and what was left out."""

    table: pa.Table
    """With the columns of `GRADED`."""
    columns: Columns
    conversations: bool
    faults: Faults = field(default_factory=Faults)


def beginning(files: Sequence[Path]) -> dict[str, Any]:
    """The columns of the first rows that can be read, each with the first value that it has.

    Raises:
        DataError: no row can be read.
    """
    found: dict[str, Any] = {}
    rows = 0
    for _, (_, read) in _all_rows(files):
        if not isinstance(read, Fault):
            found |= {name: value for name, value in read.items() if found.get(name) is None}
            rows += 1
        if rows == BEGINNING:
            break
    if not rows:
        raise DataError(f"{files[0]}: no row in it can be read. It is no file of rows, or damaged.")
    return found


def holds_conversations(row: dict[str, Any], columns: Columns) -> bool:
    """Whether the prompts of a file are lists of chat messages, by its beginning."""
    return columns.completion is None or isinstance(value_of(row, columns.prompt), list)


def read_graded(
    files: Sequence[Path],
    wanted: ColumnsConfig,
    scale: tuple[float, float] | None,
    identify: Callable[[str], str],
    reject: Callable[[str], None],
) -> GradedFile:
    """All rows that can be used; `reject` is told of the others, one JSON line each.

    Args:
        files: in the order that they are read; all have the columns of the first.
        wanted: configured columns.
        scale: the ends that a grade has to lie between.
        identify: the identity of a prompt.
        reject: takes a line for each row that cannot be used.
    """
    row = beginning(files)
    columns = find_columns(row, wanted, files[0].name)
    reader = RowReader(columns, holds_conversations(row, columns), scale)
    found = GradedFile(GRADED.empty_table(), columns, reader.conversations)
    batches: list[pa.RecordBatch] = []
    rows: list[tuple[str, str, float, str]] = []
    for file, (line, read) in _all_rows(files):
        try:
            if isinstance(read, Fault):
                raise read
            prompt, completion, grade = reader(read)
        except Fault as fault:
            place = Place(Path(file), line)
            found.faults.add(fault, place)
            reject(rejected_line(fault, place, None if isinstance(read, Fault) else read))
            continue
        rows.append((prompt, completion, grade, identify(prompt)))
        if len(rows) == CHUNK:
            batches.append(_batch(rows))
            rows = []
    found.table = pa.Table.from_batches([*batches, _batch(rows)], GRADED)
    return found


def _all_rows(files: Sequence[Path]) -> Iterator[tuple[str, Read]]:
    for path in files:
        for read in read_rows(path):
            yield path.name, read


def _batch(rows: Sequence[tuple[str, str, float, str]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(GRADED)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, GRADED, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=GRADED)
