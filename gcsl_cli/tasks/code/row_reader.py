"""Read rows of data files; count unusable rows with their place and reason."""

from collections.abc import Iterator
from pathlib import Path

from gcsl_cli.data import input_files
from gcsl_cli.data.input_files import Fault, Faults, Place, Row


def read_rows(path: Path, faults: Faults) -> Iterator[tuple[Row, Place]]:
    """Yield the rows of a file with their places; add unreadable lines to `faults`.

    Raises:
        DataError: The file is missing, of an unknown type, or cannot be read as a whole.
    """
    for file in input_files.data_files(path, None):
        for number, row in input_files.read_rows(file):
            if isinstance(row, Fault):
                faults.add(row, Place(file, number))
            else:
                yield row, Place(file, number)
