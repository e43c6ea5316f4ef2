r"""Rows of JSON files: one object per line, an array of objects, an object that holds the array, or indented objects.

Lines are decoded one by one, so that a broken one costs no other. Everything else is decoded piece by piece from a
stream, because the standard library decodes whole texts only, and streaming parsers do not tell the line of a value.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from gcsl_cli.data.input_files.faults import NOT_UTF8, Fault, NumberedRow, Place, Row, shown
from gcsl_cli.data.input_files.json_objects import PANDAS, rows_inside
from gcsl_cli.data.input_files.opening import OpenedFile
from gcsl_cli.errors import ConfigError, DataError, did_you_mean, listed

PIECE = 2**16
"""Characters read at a time."""
LONGEST_LINE = 2**24
"""Bytes of a first line that is decoded as a whole to find out whether it is a row."""
_SPACE = re.compile(r"[ \t\r\n]*")
_CUT_OFF = 10
"""An error this close to the end of a piece may come from the cut, as in the middle of `false` or of an escape."""


def json_rows(file: OpenedFile) -> Iterator[NumberedRow]:
    """Yield the rows of a JSON file with their line numbers.

    Raises:
        ConfigError: the rows can be found under several keys, or not under the configured one.
        DataError: an array is not valid JSON; the message has the line.
    """
    first = file.head.lstrip(codecs.BOM_UTF8 + b" \t\r\n")[:1] if file.encoding == "utf-8" else _first_character(file)
    if first == b"[":
        file.decisions.append("a JSON array")
    elif first != b"{" or _has_lines(file):
        if file.options.rows_key is not None:
            raise ConfigError(
                f"task.rows_key={file.options.rows_key}: {file.path} is not one JSON object. Leave it out."
            )
        return _lines(file)
    return _documents(file)


def parse_json_lines(lines: Iterable[bytes]) -> Iterator[NumberedRow]:
    """Parse JSON lines one by one. Blank lines are skipped; a byte order mark before the first one is ignored."""
    # Decode line by line, so that a decoding error has a line number.
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line.decode())
        except UnicodeDecodeError as error:
            yield number, Fault(f"{NOT_UTF8} ({error.reason})")
        except (ValueError, RecursionError) as error:
            if number == 1 and line.startswith(codecs.BOM_UTF8):
                yield from parse_json_lines([line.removeprefix(codecs.BOM_UTF8)])
            elif line.decode().strip():
                yield number, _invalid(error, line.decode().rstrip())
        else:
            yield number, row if type(row) is dict else Fault("not a JSON object", "line", row)


def _invalid(error: Exception, text: str) -> Fault:
    if isinstance(error, json.JSONDecodeError):
        column = min(error.pos, len(text)) + 1
        return Fault(f"not valid JSON ({error.msg})", "line", text, f" at column {column}")
    return Fault("not valid JSON (a number or the nesting is too large)", "line", text)


def _lines(file: OpenedFile) -> Iterator[NumberedRow]:
    if file.encoding == "utf-8" and not file.ends_with_cr:
        with file.stream() as stream:
            yield from parse_json_lines(stream)
    else:
        with file.text() as text:
            yield from parse_json_lines(line.encode("utf-8", "surrogatepass") for line in text)


def _first_character(file: OpenedFile) -> bytes:
    with file.text() as text:
        return text.read(PIECE).lstrip()[:1].encode()


def _has_lines(file: OpenedFile) -> bool:
    """Whether a file that starts with an object has one per line, judging by its first line that is not blank.

    A line that breaks off where an indented object does is a document, and so is the only line of a `.json` file, or of
    one with a configured key, if it holds a list of objects.
    """
    key = file.options.rows_key
    # A line with bytes that are not text is a fault of its own, not of the file.
    with file.text("replace") as text:
        first = next((line for line in iter(lambda: text.readline(LONGEST_LINE), "") if line.strip()), "").strip()
        try:
            row = json.loads(first)
        except (ValueError, RecursionError) as error:
            several = isinstance(error, json.JSONDecodeError) and error.msg == "Extra data" and first[error.pos] == "{"
            return not first.endswith(("{", "[", ",", ":")) and len(first) < LONGEST_LINE and not several
        if (key is None and file.suffix != ".json") or any(
            line.strip() for line in iter(lambda: text.readline(PIECE), "")
        ):
            return True
    return key is None and not (type(row) is dict and rows_inside(row))


def _documents(file: OpenedFile) -> Iterator[NumberedRow]:
    with file.text() as text:
        scanner = _Scanner(text, file)
        if scanner.peek() == "[":
            yield from scanner.elements()
            scanner.expect("")
        elif scanner.holds_several_objects():
            file.decisions.append("indented JSON objects, one after the other")
            while scanner.peek():
                yield _row(*scanner.value())
        else:
            yield from _held_rows(file, scanner)


def _held_rows(file: OpenedFile, scanner: "_Scanner") -> Iterator[NumberedRow]:
    """Rows of the array that one object holds under a key."""
    wanted, found = file.options.rows_key, ""
    others: dict[str, Any] = {}
    for key in scanner.keys():  # noqa: SIM118
        held = scanner.peek() == "[" and scanner.starts_objects() and wanted in (None, key)
        if held and found:
            raise ConfigError(
                f"{file.path}: {found!r} and {key!r} could each hold the rows. Choose one, for example "
                f"task.rows_key={found}."
            )
        if held:
            found = key
            file.decisions.append(f"rows under the key {key!r} (task.rows_key)")
            yield from scanner.elements()
        else:
            value = scanner.value()[1]
            others[key] = value if wanted is None or wanted.startswith(f"{key}.") else None
    scanner.expect("")
    if found:
        return
    inside = {key: rows for key, rows in rows_inside(others).items() if wanted in (None, key)}
    if len(inside) > 1:
        raise ConfigError(
            f"{file.path}: {listed(map(repr, inside))} could each hold the rows. Choose one, for example "
            f"task.rows_key={next(iter(inside))}."
        )
    for key, rows in inside.items():
        how = "columns side by side, as pandas writes them" if key == PANDAS else f"rows under the key {key!r}"
        file.decisions.append(f"{how}; places are numbers of rows")
        yield from (_row(number, row) for number, row in enumerate(rows, 1))
        return
    if wanted is not None:
        raise ConfigError(
            f"task.rows_key={wanted}: {file.path} has no list of objects under this key."
            f"{did_you_mean(wanted, others)} Its keys: {listed(others)}."
        )
    raise DataError(
        f"{file.path}: one JSON object, and none of its keys holds a list of rows. Its keys: {listed(others)}. "
        "Expected one JSON object per line, or an array of objects."
    )


def _row(number: int, value: Any) -> tuple[int, Row | Fault]:
    return number, value if type(value) is dict else Fault("not a JSON object", "line", value)


class _Scanner:
    """Decodes JSON values from a stream one after the other, with their lines."""

    def __init__(self, stream: TextIO, file: OpenedFile) -> None:
        self.stream, self.path = stream, file.path
        self.buffer, self.at, self.line, self.ended = "", 0, 1, False
        self.decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            self._move(_SPACE.match(self.buffer, self.at).end())  # type: ignore[union-attr]
            if self.at < len(self.buffer) or not self._more(PIECE):
                return self.buffer[self.at : self.at + 1]

    def expect(self, character: str) -> None:
        """Pass over a character; empty stands for the end."""
        found = self.peek()
        if found != character:
            wanted = repr(character) if character else "the end of the file"
            raise self._broken(f"expected {wanted}, found {repr(found) if found else 'the end of the file'}", 0)
        self._move(self.at + len(character))

    def value(self) -> tuple[int, Any]:
        """The next value and the line that it starts on."""
        self.peek()
        line, piece = self.line, PIECE
        while True:
            try:
                value, end = self.decode(self.buffer, self.at)
            except json.JSONDecodeError as error:
                offset = error.pos - self.at
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self.buffer) - _CUT_OFF
                if not cut or not self._more(piece):
                    raise self._broken(error.msg, offset) from error
            except (ValueError, RecursionError) as error:
                raise self._broken("a number or the nesting is too large", 0) from error
            else:
                # A number may go on in the next piece.
                if end < len(self.buffer) or not self._more(piece):
                    self._move(end)
                    return line, value
            piece *= 2

    def elements(self) -> Iterator[NumberedRow]:
        """The elements of an array."""
        self.expect("[")
        if self.peek() == "]":
            return self.expect("]")
        while True:
            yield _row(*self.value())
            if self.peek() != ",":
                return self.expect("]")
            self.expect(",")

    def keys(self) -> Iterator[str]:
        """The keys of an object; the caller passes over each value."""
        self.expect("{")
        while self.peek() == '"':
            key = self.value()[1]
            self.expect(":")
            yield key
            if self.peek() == ",":
                self.expect(",")
        self.expect("}")

    def starts_objects(self) -> bool:
        """Whether an array follows whose first element is an object."""
        while True:
            after = _SPACE.match(self.buffer, self.at + 1).end()  # type: ignore[union-attr]
            if after < len(self.buffer) or not self._more(PIECE):
                return self.buffer[after : after + 1] == "{"

    def holds_several_objects(self) -> bool:
        """Whether another object follows the first, which is looked for within `LONGEST_LINE` characters."""
        while len(self.buffer) < LONGEST_LINE:
            try:
                _, end = self.decode(self.buffer, self.at)
            except (ValueError, RecursionError):
                if not self._more(max(PIECE, len(self.buffer))):
                    return False
            else:
                rest = _SPACE.match(self.buffer, end).end()  # type: ignore[union-attr]
                if rest < len(self.buffer) or not self._more(PIECE):
                    return self.buffer[rest : rest + 1] == "{"
        return False

    def _more(self, size: int) -> bool:
        """Read on; False at the end of the stream."""
        piece = "" if self.ended else self.stream.read(size)
        self.ended = not piece
        # What has been passed over is forgotten only here, so that decoding does not copy the buffer again and again.
        self.buffer, self.at = self.buffer[self.at :] + piece, 0
        return bool(piece)

    def _move(self, to: int) -> None:
        self.line += self.buffer.count("\n", self.at, to)
        self.at = to

    def _broken(self, reason: str, offset: int) -> DataError:
        """The error for a place so many characters after the current one."""
        at = self.at + offset
        line = self.line + self.buffer.count("\n", self.at, at)
        text = self.buffer[max(self.at, at - 20) : at + 20]
        return DataError(f"{Place(self.path, line)}: not valid JSON ({reason}) near {shown(text)}.")
