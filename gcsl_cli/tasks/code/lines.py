"""Rows of files about programs: JSON lines (also gzipped), CSV or Parquet. A row that cannot be used is left out and
counted, with its place and why; a whole file that cannot be read is an error.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gcsl_cli.data.input_files import Fault, Faults, Place
from gcsl_cli.data.input_files import read_rows as read_table
from gcsl_cli.errors import DataError

Row = dict[str, Any]
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".ndjson", ".csv", ".parquet")


def read_rows(path: Path, faults: Faults) -> Iterator[tuple[Row, Place]]:
    """The rows of a file in order; lines that are none go to `faults`.

    Raises:
        DataError: the file is missing, of an unknown kind, or damaged as a whole.
    """
    if not path.name.endswith(SUFFIXES):
        raise DataError(f"{path}: a file of an unknown kind. Known are {', '.join(SUFFIXES)}.")
    if path.suffix in (".csv", ".parquet"):
        yield from _checked(path, read_table(path), faults)
        return
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            yield from _checked(path, ((number, _object(line)) for number, line in enumerate(lines, 1)), faults)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Correct the path, or fetch the file again.") from error


def text(row: Row, key: str, *, needed: bool = True) -> str:
    """The text under a key; empty where there is none and none is needed.

    Raises:
        Fault: it is missing, empty, or no text.
    """
    value = row.get(key)
    if value is None or value == "":
        if needed:
            raise Fault(f"{key} is missing")
        return ""
    if not isinstance(value, str):
        raise Fault(f"{key} is no text")
    return value


def _checked(path: Path, read: Iterable[tuple[int, Row | Fault | None]], faults: Faults) -> Iterator[tuple[Row, Place]]:
    for number, row in read:
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
