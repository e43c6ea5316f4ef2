"""Read the files of rows that users supply: JSON, CSV, TSV and Parquet, also compressed, with the place of each row.

All tasks read files through here. `read_rows` yields a `Fault` in place of a row that it cannot parse; `Faults`
collects these for one summary. `read_json_lines` is for files in which every row has to be valid: it raises at the
first bad one.
How a file is read is found out from its name and its first bytes (`open_file`), and said in `OpenedFile.decisions`.
"""

from collections.abc import Iterator
from pathlib import Path

from gcsl_cli.data.input_files.csv_format import csv_rows, is_number
from gcsl_cli.data.input_files.faults import NOT_UTF8, Fault, Faults, NumberedRow, Place, Row, shown
from gcsl_cli.data.input_files.json_format import json_rows, parse_json_lines
from gcsl_cli.data.input_files.opening import (
    ENCODING_ADVICE,
    FORMATS,
    PACKED,
    CsvConfig,
    OpenedFile,
    ReadOptions,
    kind_suffix,
    open_file,
)
from gcsl_cli.data.input_files.parquet_format import parquet_rows
from gcsl_cli.errors import DataError, listed

__all__ = [
    "ENCODING_ADVICE",
    "NOT_UTF8",
    "CsvConfig",
    "Fault",
    "Faults",
    "NumberedRow",
    "OpenedFile",
    "Place",
    "ReadOptions",
    "Row",
    "data_files",
    "is_number",
    "open_file",
    "parse_json_lines",
    "read_json_lines",
    "read_opened",
    "read_rows",
    "shown",
]

READERS = {"json": json_rows, "csv": csv_rows, "parquet": parquet_rows}
SUPPORTED = f"Supported: {listed(FORMATS)}; also compressed ({listed(PACKED)})."


def data_files(path: Path, pattern: str | None) -> list[Path]:
    """List the data files at `path`: the file itself, or the files of a folder that match `pattern`.

    Without a pattern, all data files below the folder are listed, and they must share one suffix.

    Raises:
        DataError: there are no data files, or they have several suffixes or an unknown one.
    """
    if not path.is_dir():
        if not kind_suffix(path):
            reason = f"unsupported file type {path.suffix!r}" if path.suffix else "the file name has no suffix"
            raise DataError(f"{path}: {reason}. {SUPPORTED}")
        return [path]
    found = sorted(p for p in path.glob(pattern or "**/*") if p.is_file() and kind_suffix(p))
    if not found:
        reason = f"no data file matches task.files={pattern}" if pattern else "the folder contains no data files"
        raise DataError(f"{path}: {reason}. {SUPPORTED}")
    suffixes = sorted({kind_suffix(p) for p in found})
    if len(suffixes) > 1:
        raise DataError(
            f"{path}: the folder mixes file types ({listed(suffixes)}), starting with {found[0].name}. Choose one, for "
            f"example task.files='**/*{found[0].name[found[0].name.index('.') :]}'."
        )
    return found


def read_rows(path: Path, options: ReadOptions | None = None) -> Iterator[NumberedRow]:
    """Yield the rows of a file in order, with a `Fault` in place of each row that cannot be parsed.

    Raises:
        ConfigError: an option does not fit the file.
        DataError: the file as a whole is unusable: missing, empty, truncated, or not of the type its name says.
    """
    yield from read_opened(open_file(path, options or ReadOptions()))


def read_opened(file: OpenedFile) -> Iterator[NumberedRow]:
    """Yield the rows of a file that has been opened; as `read_rows`."""
    empty = True
    for row in READERS[file.kind](file):
        empty = False
        yield row
    if empty:
        raise DataError(f"{file.path}: the file has no rows.")


def read_json_lines(path: Path) -> Iterator[tuple[Row, Place]]:
    """Yield every row of a JSON file with its location. The suffix does not matter.

    Raises:
        DataError: the file is missing or empty, or a row is not a JSON object.
    """
    for number, row in json_rows(open_file(path, ReadOptions())):
        if isinstance(row, Fault):
            value = f": {shown(row.value)}" if row.column else ""
            raise DataError(
                f"{Place(path, number)}: {row.kind}{row.position}{value}. Expected one JSON object per line."
            )
        yield row, Place(path, number)
