"""Read the JSON lines, CSV, TSV and Parquet files that users supply, and report bad rows by file, line and value.

`read_rows` reads any format and yields a `Fault` in place of a row that it cannot parse; `Faults` collects these for
one summary. `read_json_lines` is for files in which every line has to be valid: it raises at the first bad one.
"""

import codecs
import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gcsl_cli.errors import DataError, listed

FORMATS = {".jsonl": "json", ".json": "json", ".ndjson": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
BATCH_ROWS = 4096
LOCATIONS_SHOWN = 3
VALUE_WIDTH = 40
_MAGIC = {
    b"\x1f\x8b": "a gzip archive; unpack it first (gunzip)",
    b"PK\x03\x04": "a zip archive (or a spreadsheet); unpack it, or export it as CSV",
    b"BZh": "a bzip2 archive; unpack it first (bunzip2)",
    b"\xfd7zXZ": "an xz archive; unpack it first (unxz)",
    b"\x28\xb5\x2f\xfd": "a zstd archive; unpack it first (unzstd)",
    b"SQLite format 3": "an SQLite database; export the table as CSV",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"ARROW1": "an Arrow file; save it as Parquet",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, printed as `file:line`."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class Fault(Exception):  # noqa: N818
    """Why a row cannot be used: the kind of fault, the column, the value, and where in the line it is."""

    def __init__(self, kind: str, column: str = "", value: Any = None, position: str = "") -> None:
        super().__init__(kind)
        self.kind, self.column, self.value, self.position = kind, column, value, position


Row = dict[str, Any]
NumberedRow = tuple[int, Row | Fault]
"""A line number (in Parquet: a row number) and its row, or the reason why there is none."""


@dataclass
class Faults:
    """Faults grouped by kind, each with its count and first few locations."""

    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, fault: Fault, place: object) -> None:
        """Count a fault and, if it is among the first of its kind, record its location."""
        self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1
        places = self.places.setdefault(fault.kind, [])
        if len(places) < LOCATIONS_SHOWN:
            places.append(f"{place} {fault.column}={shown(fault.value)}" if fault.column else str(place))

    def extend(self, other: "Faults") -> None:
        """Merge the faults collected in `other`."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            places = self.places.setdefault(kind, [])
            places += other.places[kind][: LOCATIONS_SHOWN - len(places)]

    @property
    def total(self) -> int:
        """Number of rows that cannot be used."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """One line of text per kind, the most frequent first."""
        kinds = sorted(self.counts, key=lambda kind: -self.counts[kind])
        return [f"{self.counts[kind]} x {kind}: {', '.join(self.places[kind])}" for kind in kinds]


def shown(value: Any) -> str:
    """Format a value as JSON on one short line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE_WIDTH else f"{text[: VALUE_WIDTH - 3]}..."


def data_files(path: Path, pattern: str | None) -> list[Path]:
    """List the data files at `path`: the file itself, or the files of a folder that match `pattern`.

    Without a pattern, all data files below the folder are listed, and they must share one suffix.

    Raises:
        DataError: there are no data files, or they have several suffixes or an unknown one.
    """
    supported = f"Supported: {listed(FORMATS)}."
    if not path.is_dir():
        if path.suffix.lower() not in FORMATS:
            reason = f"unsupported file type {path.suffix!r}" if path.suffix else "the file name has no suffix"
            raise DataError(f"{path}: {reason}. {supported}")
        return [path]
    found = sorted(p for p in path.glob(pattern or "**/*") if p.is_file() and p.suffix.lower() in FORMATS)
    if not found:
        reason = f"no data file matches task.files={pattern}" if pattern else "the folder contains no data files"
        raise DataError(f"{path}: {reason}. {supported}")
    suffixes = sorted({p.suffix.lower() for p in found})
    if len(suffixes) > 1:
        raise DataError(
            f"{path}: the folder mixes file types ({listed(suffixes)}), starting with {found[0].name}. Choose one, for "
            f"example task.files='**/*{suffixes[0]}'."
        )
    return found


def read_rows(path: Path) -> Iterator[NumberedRow]:
    """Yield the rows of a file in order, with a `Fault` in place of each row that cannot be parsed.

    Raises:
        DataError: the file as a whole is unusable: missing, empty, truncated, or not of the type its name says.
    """
    kind = FORMATS[path.suffix.lower()]
    _check_start(path, kind)
    empty = True
    for row in {"json": _json_file, "csv": _csv_file, "parquet": _parquet_file}[kind](path):
        empty = False
        yield row
    if empty:
        raise DataError(f"{path}: the file has no rows.")


def read_json_lines(path: Path) -> Iterator[tuple[Row, Place]]:
    """Yield every row of a JSON lines file with its location. The suffix does not matter.

    Raises:
        DataError: the file is missing or empty, or a line is not a JSON object.
    """
    empty = True
    try:
        for number, row in _json_file(path):
            if isinstance(row, Fault):
                value = f": {shown(row.value)}" if row.column else ""
                raise DataError(
                    f"{Place(path, number)}: {row.kind}{row.position}{value}. Expected one JSON object per line."
                )
            empty = False
            yield row, Place(path, number)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Expected a JSON lines file.") from error
    if empty:
        raise DataError(f"{path}: the file is empty. Expected one JSON object per line.")


def parse_json_lines(lines: Iterable[bytes]) -> Iterator[NumberedRow]:
    """Parse JSON lines one by one. Blank lines are skipped; a byte order mark before the first one is ignored."""
    # Decode line by line, so that a decoding error has a line number.
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line.decode())
        except UnicodeDecodeError as error:
            yield number, Fault(f"not UTF-8 text ({error.reason})")
        except (ValueError, RecursionError) as error:
            if number == 1 and line.startswith(codecs.BOM_UTF8):
                yield from parse_json_lines([line.removeprefix(codecs.BOM_UTF8)])
            elif line.decode().strip():
                yield number, _invalid_json(error, line.decode().rstrip())
        else:
            yield number, row if type(row) is dict else Fault("not a JSON object", "line", row)


def _invalid_json(error: Exception, text: str) -> Fault:
    if isinstance(error, json.JSONDecodeError):
        column = min(error.pos, len(text)) + 1
        return Fault(f"not valid JSON ({error.msg})", "line", text, f" at column {column}")
    return Fault("not valid JSON (a number or the nesting is too large)", "line", text)


def _check_start(path: Path, kind: str) -> None:
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}). Correct task.path or the file's permissions."
        ) from error
    if not head.strip():
        raise DataError(f"{path}: the file is empty.")
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{path}: this is {what}.")
    if head.startswith(b"PAR1") != (kind == "parquet"):
        if kind == "parquet":
            raise DataError(f"{path}: not a Parquet file. Give it the suffix of its actual type ({listed(FORMATS)}).")
        raise DataError(f"{path}: this is a Parquet file. Rename it to end in .parquet.")
    if kind != "parquet" and b"\x00" in head:
        raise DataError(f"{path}: binary data; expected {'JSON lines' if kind == 'json' else 'CSV text'}.")
    if kind == "json" and head.lstrip(codecs.BOM_UTF8 + b" \t\r\n").startswith(b"["):
        raise DataError(
            f"{path}: this is a JSON array; expected one JSON object per line. Convert it: "
            'python -c "import json,sys; [print(json.dumps(r)) for r in json.load(sys.stdin)]" < in.json > out.jsonl'
        )


def _json_file(path: Path) -> Iterator[NumberedRow]:
    with path.open("rb") as lines:
        yield from parse_json_lines(lines)


def _csv_file(path: Path) -> Iterator[NumberedRow]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(_text_lines(path), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        start = reader.line_num + 1
        for values in reader:
            if len(values) == len(header):
                yield start, dict(zip(header, values, strict=True))
            elif values:
                yield start, Fault(f"{len(values)} fields where the header has {len(header)}", "line", values)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}: not valid CSV ({error}). Put double quotes around a field that contains a "
            "comma, a quote or a line break, and double each quote inside it."
        ) from error


def _check_header(path: Path, header: list[str]) -> None:
    duplicates = sorted({name for name in header if header.count(name) > 1})
    if duplicates:
        raise DataError(f"{path}:1: the header has {duplicates[0]!r} twice. Rename one of them.")
    if any(not name or is_number(name) for name in header):
        raise DataError(
            f"{path}:1: no header: {listed(header[:5])}. The first line must name the columns, for example "
            "prompt,completion,score."
        )


def is_number(value: Any) -> bool:
    """Return True if Python can convert the value to a float."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _text_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"{path}:{number}: not UTF-8 text ({error.reason}). Save it as UTF-8.") from error


def _parquet_file(path: Path) -> Iterator[NumberedRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}). The file is truncated or damaged.") from error
