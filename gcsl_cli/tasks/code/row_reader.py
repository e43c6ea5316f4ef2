"""Read rows of JSON Lines (also gzipped), CSV or Parquet files; count unusable rows with their place and reason."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gcsl_cli.data.faults import Fault, Faults
from gcsl_cli.data.jsonl import Place
from gcsl_cli.data.readers import read_rows as read_table
from gcsl_cli.errors import DataError

Row = dict[str, Any]
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".ndjson", ".csv", ".parquet")


def read_rows(path: Path, faults: Faults) -> Iterator[tuple[Row, Place]]:
    """Yield the rows of a file with their places; add unreadable lines to `faults`.

    Raises:
        DataError: The file is missing, of an unknown type, or cannot be read as a whole.
    """
    if not path.name.endswith(SUFFIXES):
        raise DataError(f"{path}: unknown file type; allowed: {', '.join(SUFFIXES)}.")
    if path.suffix in (".csv", ".parquet"):
        yield from _usable(path, read_table(path), faults)
        return
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            yield from _usable(path, ((number, _object(line)) for number, line in enumerate(lines, 1)), faults)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Check the path or download the file again.") from error


def _usable(path: Path, rows: Iterable[tuple[int, Row | Fault | None]], faults: Faults) -> Iterator[tuple[Row, Place]]:
    for number, row in rows:
        if isinstance(row, Fault):
            faults.add(row, Place(path, number))
        elif row is not None:
            yield row, Place(path, number)


def _object(line: bytes) -> Row | Fault | None:
    if not line.strip():
        return None
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Fault(f"not UTF-8 text ({error.reason})")
    except (ValueError, RecursionError):
        return Fault("not valid JSON")
    return row if isinstance(row, dict) else Fault("not a JSON object")
