"""Read files of graded completions into an Arrow table, and check every row: texts, chat messages and grades."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gcsl_cli.data.input_files import (
    ENCODING_ADVICE,
    NOT_UTF8,
    Fault,
    Faults,
    OpenedFile,
    Place,
    ReadOptions,
    Row,
    open_file,
    read_opened,
)
from gcsl_cli.data.records import SCORES
from gcsl_cli.errors import DataError, listed
from gcsl_cli.runs.files import whole_file
from gcsl_cli.tasks.feedback.columns import USUAL, Columns, ColumnsConfig, MissingColumnError, find_columns, named
from gcsl_cli.tasks.feedback.grades import DECIMAL_COMMA, MOST_WORDS, GradeRules, words_override
from gcsl_cli.tasks.feedback.pairs import apart, is_pair
from gcsl_cli.tasks.feedback.row_parser import Graded, RowParser, Shape, first_lists

REJECTED = "rejected.jsonl"
CHUNK = 50_000
"""Rows per Arrow batch."""
SAMPLE = 100
"""Rows that are inspected to find a file's columns, since any one row may lack some; ten times as many, and so on, if
these do not have a value in each."""
GRADED = pa.schema(
    [
        ("prompt", pa.string()),
        ("completion", pa.string()),
        ("grade", pa.float64()),
        ("prompt_id", pa.string()),
        ("place", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of files that share them, and what they hold."""

    columns: Columns
    shape: Shape
    pairs: bool = False
    """Rows hold a chosen and a rejected completion."""


@dataclass
class GradedFile:
    """The usable rows of one or more files, how they were read, and the faults of the other rows."""

    table: pa.Table
    """Has the columns of `GRADED`, then those of several scores; `grade` is then the first of these."""
    layout: Layout
    faults: Faults = field(default_factory=Faults)
    kinds: list[str] = field(default_factory=list)
    """Kind, compression and encoding of the files."""
    decisions: list[str] = field(default_factory=list)
    """Choices made while reading that a user should know about, as sentences."""
    notes: Counter[str] = field(default_factory=Counter)
    """What was changed or passed over, and how often."""
    words: Counter[str] = field(default_factory=Counter)
    """Texts in the score column that are not grades."""

    @property
    def columns(self) -> Columns:
        """The columns that the rows came from."""
        return self.layout.columns

    def leave_out(self, fault: Fault, place: Place) -> None:
        """Count a row, or a completion of it, that cannot be used."""
        self.faults.add(fault, place)
        if fault.column in self.columns.graded and isinstance(fault.value, str) and len(self.words) <= MOST_WORDS:
            self.words[fault.value.strip()] += 1

    def note(self, file: OpenedFile) -> None:
        """Take over what was found out about a file that has been read."""
        self.kinds += [text for text in (file.description,) if text not in self.kinds]
        self.decisions += [text for text in file.decisions if text not in self.decisions]
        self.notes.update(file.counts)

    def advice(self) -> Iterator[str]:
        """Settings that would make rows usable."""
        if any(kind.startswith(NOT_UTF8) for kind in self.faults.counts):
            yield ENCODING_ADVICE
        if any(map(DECIMAL_COMMA.fullmatch, self.words)) and any("CSV" in kind or "TSV" in kind for kind in self.kinds):
            yield "If commas are decimal marks: 'task.csv.decimal=\",\"'"
        # Words that occur once, or in a column of numbers, are rather mistakes.
        elif (
            len(self.words) <= MOST_WORDS
            and any(count > 1 for count in self.words.values())
            and self.words.total() > len(self.table)
        ):
            yield f"Give each text its grade, higher for better; check the numbers: {words_override(list(self.words))}"


def find_layout(
    files: Sequence[Path], config: ColumnsConfig, options: ReadOptions, several: Sequence[str] = ()
) -> Layout:
    """Find the columns of files from their first rows, or from all rows if these have no value in some column.

    `several` are the columns of several scores, if rows have them.

    Raises:
        ConfigError: a column is missing or ambiguous, or a setting does not fit the file.
        DataError: no row can be read.
    """
    found: Row = {}
    rows, enough = 0, SAMPLE
    faults = Faults()
    pairs = False
    for file in files:
        for line, row in read_opened(open_file(file, options)):
            if isinstance(row, Fault):
                faults.add(row, Place(Path(file.name), line))
                continue
            pairs = pairs or (config.completion is None and is_pair(row) and not named(row, USUAL["completion"]))
            for one in apart(row) if pairs and is_pair(row) else (row,):
                merge(found, one)
            rows += 1
            if rows == enough:
                layout = _settled(found, config, files[0].name, several)
                if layout is not None:
                    return replace(layout, pairs=pairs)
                enough *= 10
    if not rows:
        raise DataError(
            f"{files[0]}: not one row can be read. Is this the right file, or is it damaged? {listed(faults.lines())}."
            + (f" {ENCODING_ADVICE}" if any(kind.startswith(NOT_UTF8) for kind in faults.counts) else "")
        )
    columns = find_columns(found, config, files[0].name, several)
    return Layout(columns, Shape.of(found, columns), pairs)


def merge(found: Row, row: Row) -> None:
    """Add to `found` the values of a row that it has not, also inside objects."""
    for name, value in row.items():
        old = found.get(name)
        if old is None or old == []:
            found[name] = dict(value) if isinstance(value, dict) else value
        elif isinstance(old, dict) and isinstance(value, dict):
            merge(old, value)


def _settled(found: Row, config: ColumnsConfig, file: str, several: Sequence[str]) -> Layout | None:
    """The layout, if every column has a value that tells what it holds."""
    try:
        columns = find_columns(found, config, file, several)
    except MissingColumnError:
        return None
    known = all(value is not None and value != [] for value in first_lists(found, columns))
    return Layout(columns, Shape.of(found, columns)) if known else None


def read_graded(
    files: Sequence[Path],
    layout: Layout,
    options: ReadOptions,
    rules: GradeRules,
    scale: tuple[float, float] | None,
    identify: Callable[[str], str],
    reject: Callable[[str], object],
    most: int | None = None,
    scales: Mapping[str, tuple[float, float] | None] | None = None,
) -> GradedFile:
    """Read all usable rows of files that share their columns, in order; at most `most` of them.

    `scale` are the lowest and highest valid grade, `scales` those of several scores by name, `identify` maps a prompt
    to its identity, and `reject` gets a JSON line for each row that cannot be used.
    """
    graded = GradedFile(GRADED.empty_table(), layout)
    schema = pa.schema([*GRADED, *((f"{SCORES}{name}", pa.float64()) for name in scales or {})])
    own_scales = tuple((scales or {}).values())
    batches: list[pa.RecordBatch] = []
    rows: list[_Read] = []
    for path in files:
        file, name = open_file(path, options), path.name
        numbered = read_opened(file)
        parse: RowParser | None = None
        for line, row in numbered:
            if most is not None and CHUNK * len(batches) + len(rows) >= most:
                break
            if parse is None:  # the decimal mark is known once the header has been read
                of_file = replace(rules, decimal=file.decimal, notes=graded.notes)
                parse = RowParser(layout.columns, layout.shape, of_file, scale, own_scales, graded.notes)
            for one in (row,) if isinstance(row, Fault) else _parsed(row, parse, layout):
                if isinstance(one, Fault):
                    graded.leave_out(one, Place(Path(name), line))
                    reject(_rejected(name, line, row, one))
                    continue
                prompt, completion, *grades = one
                rows.append((name, line, prompt, completion, grades[0], identify(prompt), *(grades if scales else ())))
                if len(rows) == CHUNK:
                    batches.append(_batch(rows, schema))
                    rows = []
        graded.note(file)
    graded.table = pa.Table.from_batches([*batches, _batch(rows, schema)], schema)
    return graded


def _parsed(row: Row, parse: RowParser, layout: Layout) -> Sequence[Graded | Fault]:
    if not layout.pairs or not is_pair(row):
        return parse(row)
    return [graded for one in apart(row) for graded in parse(one)]


def _rejected(name: str, line: int, row: Row | Fault, fault: Fault) -> str:
    entry = {"file": name, "line": line, "reason": fault.kind, "column": fault.column, "value": fault.value}
    entry["row"] = None if isinstance(row, Fault) else row
    # ASCII only: the row may contain lone surrogates, which UTF-8 cannot encode.
    return json.dumps(entry, default=str) + "\n"


_Read = tuple[str, int, str, str, float, str, *tuple[float, ...]]
"""File and line, then the values of `GRADED` but the place, then several scores."""


def _batch(rows: Sequence[_Read], schema: pa.Schema) -> pa.RecordBatch:
    names, lines, *columns = list(zip(*rows, strict=True)) or [()] * (len(schema) + 1)
    kinds = [field.type for field in schema if field.name != "place"]
    arrays = [pa.array(column, type=kind) for column, kind in zip(columns, kinds, strict=True)]
    numbers = pa.array(lines, pa.int32()).cast(pa.string())
    place = pc.binary_join_element_wise(pa.array(names, pa.string()), numbers, ":")
    at = schema.get_field_index("place")
    return pa.RecordBatch.from_arrays([*arrays[:at], place, *arrays[at:]], schema=schema)


@contextmanager
def rejected_file(folder: Path | None) -> Iterator[Callable[[str], object]]:
    """Yield a function that writes a line about a rejected row; without a folder it does nothing."""
    if folder is None:
        yield lambda _: None
        return
    with whole_file(folder / REJECTED) as temporary, temporary.open("w", encoding="utf-8") as stream:
        yield stream.write
