"""Find out how a file of ratings or items is written: compression, encoding, delimiter, and the names of its columns.

MovieLens-1M   1::1193::5::978300760           no header, `::` between fields, Latin-1 titles
MovieLens-25M  userId,movieId,rating,timestamp inside a zip archive
Book-Crossing  "User-ID";"ISBN";"Book-Rating"  no time
"""

import codecs
import gzip
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from gcsl_cli.data.input_files import is_number
from gcsl_cli.errors import DataError, listed

DELIMITERS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t", ".dat": "::", ".data": "\t"}
PACKED = (".zip", ".gz")
SUFFIXES = (*DELIMITERS, ".parquet")
DOUBLE_COLON, UNIT_SEPARATOR = "::", "\x1f"
RATINGS = ("user_id", "item_id", "rating", "timestamp")
"""Columns of MovieLens' files of ratings without a header."""
ITEMS = ("item_id", "movie_title")
"""The first columns of MovieLens' files of items without a header."""
USUAL = {
    "user_id": ("userid", "user", "reviewerid"),
    "item_id": ("itemid", "item", "movieid", "movie", "isbn", "bookid", "asin", "productid"),
    "rating": ("rating", "bookrating", "score", "stars"),
    "timestamp": ("timestamp", "time", "unixreviewtime"),
    "movie_title": ("movietitle", "title", "booktitle", "name"),
    "release_year": ("releaseyear", "year", "yearofpublication"),
}
"""Other names of the columns that conf/task/recommendation.yaml names, folded."""
OPTIONAL = ("timestamp", "release_year")
_MEMBERS = {"ratings": ("rating", "u.data"), "items": ("movie", "item", "book", "title")}
"""Parts of the names of members of a zip archive."""


@dataclass(frozen=True, slots=True)
class RatingFormat:
    """How a file is written."""

    path: Path
    member: str | None
    """The member of a zip archive."""
    delimiter: str
    encoding: str
    header: bool
    columns: tuple[str, ...]

    @contextmanager
    def stream(self) -> Iterator[IO[bytes]]:
        """The file's bytes, unpacked, with one character between fields."""
        with _unpacked(self.path, self.member) as stream:
            yield cast("IO[bytes]", _SingleDelimiter(stream)) if self.delimiter == DOUBLE_COLON else stream

    def decisions(self) -> Iterator[str]:
        """Choices made while reading that a user should know about, as sentences."""
        if self.member is not None:
            yield f"{self.path.name}: {self.member}"
        if self.delimiter != DELIMITERS.get(_suffix(self.path, self.member), ","):
            yield f"{self.path.name}: fields between {self.delimiter!r}"
        if self.encoding != "utf8":
            yield f"{self.path.name}: not UTF-8, read as Latin-1"
        if not self.header:
            yield f"{self.path.name}: no header; columns {listed(self.columns)}"


def text_format(path: Path, role: str) -> RatingFormat:
    """Find out how a text file is written; `role` is `ratings` or `items`.

    Raises:
        DataError: the file cannot be read, or a zip archive has no such file.
    """
    try:
        member = _member(path, role) if path.suffix.lower() == ".zip" else None
        with _unpacked(path, member) as stream:
            first, second = stream.readline(), stream.readline()
        encoding = "utf8" if _is_utf8(path, member) else "latin1"
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    line = first.decode("utf-8-sig" if encoding == "utf8" else "latin-1").rstrip("\r\n")
    delimiter = _delimiter(line, DELIMITERS.get(_suffix(path, member), ","))
    fields = [field.strip().strip('"') for field in line.split(delimiter)]
    found = RatingFormat(path, member, delimiter, encoding, True, tuple(name.partition(":")[0] for name in fields))
    if not is_number(fields[0]) or not second:
        return found
    known = RATINGS if role == "ratings" else ITEMS
    more = tuple(f"column_{number}" for number in range(len(known) + 1, len(fields) + 1))
    return replace(found, header=False, columns=(*known, *more)[: len(fields)])


def usual_name(name: str, columns: Sequence[str]) -> str | None:
    """The column that is meant by one of gcsl's default names: itself, or one of its usual names; None if none is."""
    if name in columns:
        return name
    folded = {re.sub(r"[^a-z]", "", column.lower()): column for column in columns}
    return next((folded[usual] for usual in USUAL.get(name, ()) if usual in folded), None)


def _delimiter(line: str, usual: str) -> str:
    if DOUBLE_COLON in line:
        return DOUBLE_COLON
    candidates = sorted(",\t;|", key=lambda mark: mark != usual)
    return max(candidates, key=re.sub(r'"[^"]*"', "", line).count)


def _suffix(path: Path, member: str | None) -> str:
    name = Path(member) if member else path
    return (name.with_suffix("") if name.suffix.lower() in PACKED else name).suffix.lower()


def _member(path: Path, role: str) -> str:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if Path(name).suffix.lower() in SUFFIXES]
    for part in _MEMBERS[role]:
        found = [name for name in names if part in Path(name).name.lower()]
        if found:
            return min(found, key=len)
    raise DataError(f"{path}: none of its files looks like {role} ({listed(names[:8])}). Unpack it, and name the file.")


def _unpacked(path: Path, member: str | None) -> BinaryIO:
    if member is not None:
        return cast("BinaryIO", zipfile.ZipFile(path).open(member))
    return cast("BinaryIO", gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _is_utf8(path: Path, member: str | None) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _unpacked(path, member) as stream:
        try:
            for piece in iter(lambda: stream.read(2**20), b""):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


class _SingleDelimiter:
    """A stream with one character in place of `::`, because Arrow's reader takes no longer delimiters."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.held, self.closed = stream, b"", False

    def read(self, size: int = -1) -> bytes:
        """Read about as many bytes; a colon at the end of a piece may be half of a delimiter."""
        piece = self.stream.read(size)
        data, self.held = self.held + piece, b""
        if piece and data.endswith(b":") and not data.endswith(b"::"):
            data, self.held = data[:-1], b":"
        return data.replace(DOUBLE_COLON.encode(), UNIT_SEPARATOR.encode())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
