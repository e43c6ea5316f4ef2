"""JSON lines, CSV, TSV and Parquet as rows with their places; a row that cannot be read is a `Fault` in its place."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gcsl_cli.data.faults import Fault
from gcsl_cli.errors import DataError, listed

SUFFIXES = {".jsonl": "json", ".json": "json", ".ndjson": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
BATCH = 4096
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

Row = dict[str, Any]
Read = tuple[int, Row | Fault]
"""A line (or row) number, and the row or why there is none."""


def data_files(path: Path, pattern: str | None) -> list[Path]:
    """The files of a path: itself, or those of a folder that match `pattern`; without one, all of its one known kind.

    Raises:
        DataError: there is none, of no known kind, or of several kinds.
    """
    known = f"Known are {listed(SUFFIXES)}."
    if not path.is_dir():
        if path.suffix.lower() not in SUFFIXES:
            kind = f"of the kind {path.suffix!r}" if path.suffix else "whose name has no suffix"
            raise DataError(f"{path}: a file {kind}. {known}")
        return [path]
    found = sorted(p for p in path.glob(pattern or "**/*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    if not found:
        what = f"no file matches task.files={pattern}" if pattern else "no data file in it"
        raise DataError(f"{path}: {what}. {known}")
    kinds = sorted({p.suffix.lower() for p in found})
    if len(kinds) > 1:
        raise DataError(
            f"{path}: files of several kinds ({listed(kinds)}), {found[0].name} first. Say which: "
            f"task.files='**/*{kinds[0]}'."
        )
    return found


def read_rows(path: Path) -> Iterator[Read]:
    """The rows of a file in order.

    Raises:
        DataError: the file as a whole cannot be read: missing, empty, of another kind than its name says, cut off.
    """
    kind = SUFFIXES[path.suffix.lower()]
    _check_beginning(path, kind)
    reader = {"json": _json_lines, "csv": _csv_rows, "parquet": _parquet_rows}[kind]
    empty = True
    for read in reader(path):
        empty = False
        yield read
    if empty:
        raise DataError(f"{path}: there is no row in it; expected a prompt, a completion and a score in each.")


def _check_beginning(path: Path, kind: str) -> None:
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Correct task.path or its rights.") from error
    if not head.strip():
        raise DataError(f"{path}: the file is empty; expected a prompt, a completion and a score in each row.")
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{path}: {what}.")
    parquet = head.startswith(b"PAR1")
    if parquet != (kind == "parquet"):
        raise DataError(
            f"{path}: Parquet data under another name; rename it to end in .parquet."
            if parquet
            else f"{path}: no Parquet data in it; give it the name of what it is ({listed(SUFFIXES)})."
        )
    if not parquet and b"\x00" in head:
        raise DataError(f"{path}: binary data, not text; expected {'JSON lines' if kind == 'json' else 'CSV'}.")
    if kind == "json" and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        raise DataError(
            f"{path}: a JSON array; expected one JSON object a line. Convert it: "
            'python -c "import json,sys; [print(json.dumps(r)) for r in json.load(sys.stdin)]" < in.json > out.jsonl'
        )


def _json_lines(path: Path) -> Iterator[Read]:
    loads = json.loads
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = loads(line.decode())
            except UnicodeDecodeError as error:
                yield number, Fault(f"not UTF-8 text ({error.reason})")
                continue
            except (ValueError, RecursionError) as error:
                text = line.decode("utf-8", "replace").removeprefix("﻿").strip()
                if number == 1 and text != line.decode("utf-8", "replace").strip():
                    yield number, _object(text)
                elif text:
                    yield number, Fault(f"not valid JSON ({getattr(error, 'msg', 'too large')})", "line", text)
                continue
            yield number, row if type(row) is dict else _no_object(row)


def _object(text: str) -> Row | Fault:
    try:
        row = json.loads(text)
    except ValueError as error:
        return Fault(f"not valid JSON ({getattr(error, 'msg', 'too large')})", "line", text)
    return row if isinstance(row, dict) else _no_object(row)


def _no_object(row: Any) -> Fault:
    return Fault("not a JSON object", "line", row)


def _csv_rows(path: Path) -> Iterator[Read]:
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
            f"{path}:{reader.line_num}: not valid CSV ({error}). A field that holds a comma, a quote or a line break "
            "stands in double quotes, a quote in it is doubled."
        ) from error


def _check_header(path: Path, header: list[str]) -> None:
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise DataError(f"{path}:1: the header has {doubled[0]!r} twice. Rename one of them.")
    if any(not name or _is_number(name) for name in header):
        raise DataError(
            f"{path}:1: no header: {listed(header[:5])}. The first line has to name the columns, such as "
            "prompt,completion,score."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"{path}:{number}: not UTF-8 text ({error.reason}). Save it as UTF-8.") from error


def _parquet_rows(path: Path) -> Iterator[Read]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}). It is cut off or damaged.") from error
