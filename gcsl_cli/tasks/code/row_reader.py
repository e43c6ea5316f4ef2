"""Read rows of JSON Lines (also gzipped), CSV or Parquet files; count unusable rows with their place and reason."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from gcsl_cli.data import input_files
from gcsl_cli.data.input_files import Fault, Faults, NumberedRow, Place, Row, parse_json_lines
from gcsl_cli.errors import DataError

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".ndjson", ".csv", ".parquet")


def read_rows(path: Path, faults: Faults) -> Iterator[tuple[Row, Place]]:
    """Yield the rows of a file with their places; add unreadable lines to `faults`.

    Raises:
        DataError: The file is missing, of an unknown type, or cannot be read as a whole.
    """
    if not path.name.endswith(SUFFIXES):
        raise DataError(f"{path}: unknown file type; allowed: {', '.join(SUFFIXES)}.")
    if path.suffix in (".csv", ".parquet"):
        yield from _usable(path, input_files.read_rows(path), faults)
        return
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            yield from _usable(path, parse_json_lines(lines), faults)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Check the path or download the file again.") from error


def _usable(path: Path, rows: Iterable[NumberedRow], faults: Faults) -> Iterator[tuple[Row, Place]]:
    for number, row in rows:
        if isinstance(row, Fault):
            faults.add(row, Place(path, number))
        else:
            yield row, Place(path, number)
