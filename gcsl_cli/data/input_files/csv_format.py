r"""Rows of CSV and TSV files, as programs and spreadsheets write them.

The standard library's reader is used strictly, so that a broken row is noticed. What is written by other rules is then
read again by hand: quotes escaped with a backslash, and, between tabs, quotes that are ordinary characters.
"""

import csv
import re
import sys
from collections.abc import Iterator
from typing import Any

from gcsl_cli.data.input_files.faults import Fault, NumberedRow
from gcsl_cli.data.input_files.opening import OpenedFile
from gcsl_cli.errors import ConfigError, DataError, listed

DELIMITERS = ",;\t|"
LONGEST_ROW = 10_000
"""Lines of one row; a quote that is still open after these was never closed."""
ESCAPED, LITERAL = "rows with quotes escaped by a backslash", "rows with quotes that are ordinary characters"
EMPTY, UNNAMED = "empty rows, left out", "columns without a name, left out"
_SEPARATOR = re.compile(r"sep=(.)\r?\n?$", re.IGNORECASE)

csv.field_size_limit(sys.maxsize)


def csv_rows(file: OpenedFile) -> Iterator[NumberedRow]:
    """Yield the rows of a CSV file as texts by column, with the number of the line that each starts on.

    Raises:
        ConfigError: a setting of `task.csv` is unusable.
        DataError: the file has no usable header, or another encoding.
    """
    with file.text() as text:
        first = text.readline(LONGEST_ROW)
    declared = _SEPARATOR.match(first)
    if declared:
        with file.text() as text:
            text.readline()
            first = text.readline(LONGEST_ROW)
    delimiter = _delimiter(file, first, declared[1] if declared else None)
    spaced = 0 < first.count(delimiter) == first.count(f"{delimiter} ")
    if spaced:
        file.decisions.append("spaces after delimiters left out, as the header has them too")
    return _rows(file, delimiter, skip=1 if declared else 0, spaced=spaced)


def _delimiter(file: OpenedFile, header: str, declared: str | None) -> str:
    """The character between fields, and with it the decimal mark of the file's numbers."""
    config = file.options.csv
    if config.delimiter is not None and (len(config.delimiter) != 1 or config.delimiter in '"\r\n'):
        raise ConfigError(f"task.csv.delimiter={config.delimiter!r}: expected one character, for example ';'.")
    if config.decimal not in (None, ".", ","):
        raise ConfigError(f"task.csv.decimal={config.decimal!r}: expected '.' or ','.")
    usual = "\t" if file.suffix == ".tsv" else ","
    unquoted = re.sub(r'"[^"]*"', "", header)
    candidates = sorted(DELIMITERS, key=lambda mark: mark != usual)
    delimiter = config.delimiter or declared or max(candidates, key=unquoted.count)
    file.decimal = config.decimal or ("," if delimiter == ";" else ".")
    if delimiter != usual:
        file.decisions.append(f"fields between {delimiter!r} (task.csv.delimiter)")
    if file.decimal == ",":
        file.decisions.append("decimal commas (task.csv.decimal)")
    return delimiter


class _Lines:
    """Lines of a file that can be put back, to be read by another rule."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines
        self.waiting: list[str] = []
        """Lines that were put back, the next one last."""
        self.taken: list[str] = []
        """The lines of the current row."""
        self.number = 0
        """Lines before the current row."""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.waiting.pop() if self.waiting else next(self.lines)
        self.taken.append(line)
        if len(self.taken) > LONGEST_ROW:
            raise csv.Error("a quote is never closed")
        return line

    def next_row(self) -> int:
        """Begin with the next row and return the number of its first line."""
        self.number += len(self.taken)
        self.taken = []
        return self.number + 1

    def put_back(self, keep: int = 0) -> None:
        """Return all lines of the row but the first `keep`."""
        self.waiting += reversed(self.taken[keep:])
        del self.taken[keep:]


def _rows(file: OpenedFile, delimiter: str, *, skip: int, spaced: bool) -> Iterator[NumberedRow]:
    with file.text() as text:
        lines = _Lines(iter(text))
        for _ in range(skip):
            next(lines)
        lines.next_row()
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced, strict=True)
        header = _header(file, reader, lines)
        places = [place for place, name in enumerate(header) if name]
        names = [header[place] for place in places]
        width, least = len(header), places[-1] + 1
        parse = _Records(file, reader, lines, delimiter, width)
        while True:
            start = lines.next_row()
            values = parse.next()
            if values is None:
                return
            if isinstance(values, Fault):
                yield start, values
            elif len(values) == width == len(names):
                if any(values):
                    yield start, dict(zip(names, values, strict=True))
                else:
                    file.count(EMPTY)
            elif not any(values):
                # A line without a single field is blank, not a row.
                if values:
                    file.count(EMPTY)
            elif len(values) < least or any(values[width:]):
                yield start, Fault(f"{len(values)} fields where the header has {width}", "line", values)
            else:
                yield start, {name: values[place] for name, place in zip(names, places, strict=True)}


def _header(file: OpenedFile, reader: Iterator[list[str]], lines: _Lines) -> list[str]:
    """The column names; the columns that have none are empty."""
    try:
        header = next((row for row in reader if any(map(str.strip, row))), [])
    except csv.Error as error:
        raise DataError(f"{file.path}:1: the header is not valid CSV ({error}).") from error
    header = [name.strip() for name in header]
    names = [name for name in header if name]
    place = f"{file.path}:{lines.number + len(lines.taken)}"
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise DataError(f"{place}: the header has {duplicates[0]!r} twice. Rename one of them.")
    if not names or any(is_number(name) for name in names):
        raise DataError(
            f"{place}: no header: {listed(header[:5])}. The first line must name the columns, for example "
            "prompt,completion,score."
        )
    if len(names) < len(header):
        file.counts[UNNAMED] = len(header) - len(names)
    return header


class _Records:
    """Reads one row after the other, by the rule that fits it."""

    def __init__(
        self, file: OpenedFile, reader: Iterator[list[str]], lines: _Lines, delimiter: str, width: int
    ) -> None:
        self.file, self.reader, self.lines, self.delimiter, self.width = file, reader, lines, delimiter, width

    def next(self) -> list[str] | Fault | None:
        """The fields of the next row, or what is wrong with it; None at the end."""
        broken: csv.Error | None = None
        try:
            values = next(self.reader, None)
        except csv.Error as error:
            values, broken = [], error
        if values is None or (broken is None and len(values) == self.width and not self._swallows_rows()):
            return values
        count = len(self.lines.taken)
        if any('"' in line for line in self.lines.taken):
            other = self._by_other_rules()
            if other is not None:
                return other
            self.lines.put_back()
            for _ in range(count):
                next(self.lines)
        if broken is None:
            return values
        self.lines.put_back(keep=1)
        return Fault(f"not valid CSV ({broken})", "line", self.lines.taken[0].rstrip("\r\n"))

    def _by_other_rules(self) -> list[str] | None:
        lines = self.lines
        lines.put_back()
        escaped = csv.reader((line.replace('\\"', '""') for line in lines), delimiter=self.delimiter, strict=True)
        try:
            values = next(escaped, [])
        except csv.Error:
            values = []
        if len(values) == self.width and any('\\"' in line for line in lines.taken):
            self.file.count(ESCAPED)
            return values
        if self.delimiter == "\t" and self._fits(lines.taken[0]):
            lines.put_back(keep=1)
            self.file.count(LITERAL)
            return lines.taken[0].rstrip("\r\n").split("\t")
        return None

    def _swallows_rows(self) -> bool:
        """Whether a quoted field between tabs contains lines that are rows by themselves."""
        return len(self.lines.taken) > 1 and self.delimiter == "\t" and all(map(self._fits, self.lines.taken))

    def _fits(self, line: str) -> bool:
        return line.count(self.delimiter) == self.width - 1


def is_number(value: Any) -> bool:
    """Return True if Python can convert the value to a float."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
