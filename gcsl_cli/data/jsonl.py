"""JSON lines, read with the place of every row, so that an error can name it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcsl_cli.errors import DataError


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; prints as `file:line`."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def read_jsonl(path: Path) -> Iterator[tuple[dict[str, Any], Place]]:
    """Yield each object of the file with its place; blank lines are passed over.

    Raises:
        DataError: the file is empty, not UTF-8, or a line is not a JSON object.
    """
    empty = True
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    empty = False
                    yield _object(line, Place(path, number)), Place(path, number)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected a file of JSON lines.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: a folder; expected a file of JSON lines.") from error
    if empty:
        raise DataError(f"{path}: the file is empty; expected one JSON object a line.")


def _object(line: bytes, place: Place) -> dict[str, Any]:
    try:
        # Decoded line by line: a decoder that reads ahead could not name the line.
        value = json.loads(line.rstrip(b"\r\n").decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not UTF-8 text ({error.reason}).") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{place}: not valid JSON ({error.msg}, column {error.colno}).") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: a number or a nesting too large to read ({error}).") from error
    if not isinstance(value, dict):
        raise DataError(f"{place}: expected a JSON object, found {type(value).__name__}.")
    return value
