"""Open a data file: unpack it, and find out its kind and its text encoding from its name and its first bytes."""

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from gcsl_cli.errors import ConfigError, DataError, listed

FORMATS = {".jsonl": "json", ".json": "json", ".ndjson": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
PACKED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
HEAD = 2**16
"""Bytes that are inspected to find out what a file holds."""
_PACKED_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
_MAGIC = {
    b"SQLite format 3": "an SQLite database; export the table as CSV",
    b"ARROW1": "an Arrow file; save it as Parquet",
}
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@dataclass
class CsvConfig:
    """How a CSV file is written; null: found out from its first line."""

    delimiter: str | None = None
    decimal: str | None = None


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user says about a file; None: found out from the file."""

    encoding: str | None = None
    rows_key: str | None = None
    csv: CsvConfig = field(default_factory=CsvConfig)


@dataclass
class OpenedFile:
    """A file whose first bytes have been inspected."""

    path: Path
    options: ReadOptions
    kind: str
    """`json`, `csv` or `parquet`."""
    suffix: str
    """The suffix that tells the kind, such as `.tsv`."""
    packed: str | None
    """How the file is compressed."""
    head: bytes
    encoding: str
    decisions: list[str] = field(default_factory=list)
    """Choices made while reading that a user should know about, as sentences."""
    counts: dict[str, int] = field(default_factory=dict)
    """What was passed over while reading, and how often."""
    decimal: str = "."
    """The decimal mark of numbers that are text."""

    @property
    def description(self) -> str:
        """Kind, compression and encoding, for people."""
        kind = {"json": "JSON", "csv": "TSV" if self.suffix == ".tsv" else "CSV", "parquet": "Parquet"}[self.kind]
        encoding = None if self.kind == "parquet" else named(self.encoding)
        return ", ".join(part for part in (kind, self.packed, encoding) if part)

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """The unpacked bytes from the beginning.

        Raises:
            DataError: the archive is damaged.
        """
        with unpacked(self.path, self.packed) as stream:
            yield stream

    def count(self, what: str) -> None:
        """Count something that is passed over."""
        self.counts[what] = self.counts.get(what, 0) + 1

    @property
    def ends_with_cr(self) -> bool:
        """Whether lines end with a carriage return alone, as on old Macs."""
        return b"\r" in self.head and b"\n" not in self.head

    @contextmanager
    def text(self, errors: str = "strict") -> Iterator[io.TextIOWrapper]:
        """The file as text, without a byte order mark; all kinds of line ends count and are kept.

        `errors` is what to do about bytes that are not text, as in `bytes.decode`.

        Raises:
            DataError: the file has another encoding; the message has the line.
        """
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        with self.stream() as stream:
            try:
                yield io.TextIOWrapper(stream, encoding, errors, newline="")
            except UnicodeError as error:
                raise self._undecodable(error) from error

    def _undecodable(self, error: UnicodeError) -> DataError:
        where = str(self.path)
        if self.encoding == "utf-8":
            with self.stream() as stream:
                where = next((f"{where}:{n}" for n, line in enumerate(stream, 1) if not _decodes(line)), where)
        reason = getattr(error, "reason", error)
        return DataError(f"{where}: not {named(self.encoding)} text ({reason}). {ENCODING_ADVICE}")


ENCODING_ADVICE = (
    "Save it as UTF-8, or name its encoding, for example task.encoding=cp1252 (Windows, includes Latin-1) or "
    "task.encoding=utf-16."
)


def kind_suffix(path: Path) -> str:
    """The part of a name that tells what a file holds: `.jsonl` of `a.jsonl.gz`; empty if it is unknown."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
        if not suffixes or suffixes[-1] not in FORMATS:
            return ".zip" if path.suffix.lower() == ".zip" else ""
    return suffixes[-1] if suffixes and suffixes[-1] in FORMATS else ""


def open_file(path: Path, options: ReadOptions) -> OpenedFile:
    """Inspect a file.

    Raises:
        ConfigError: there is no such encoding.
        DataError: the file is missing, empty, damaged, or not of the type its name says.
    """
    try:
        with path.open("rb") as raw:
            start = raw.read(16)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}). Correct task.path or the file's permissions."
        ) from error
    packed = next((name for magic, name in _PACKED_MAGIC.items() if start.startswith(magic)), None)
    suffix = kind_suffix(path)
    if packed == "zip":
        suffix = kind_suffix(Path(_member(path))) or suffix
    with unpacked(path, packed) as stream:
        head = stream.read(HEAD)
    if not head.strip():
        raise DataError(f"{path}: the file is empty.")
    kind = FORMATS.get(suffix, "json")
    encoding = _encoding(head, options.encoding)
    _check_start(path, kind, packed, head if encoding == "utf-8" else b"")
    opened = OpenedFile(path, options, kind, suffix, packed, head, encoding)
    if packed is not None:
        opened.decisions.append(f"unpacked ({packed})")
    if encoding != "utf-8":
        opened.decisions.append(f"{named(encoding)} text (task.encoding)")
    return opened


@contextmanager
def unpacked(path: Path, packed: str | None) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked.

    Raises:
        DataError: the archive is damaged.
    """
    import pyarrow as pa

    try:
        with _unpacked(path, packed) as stream:
            yield stream
    except _DAMAGED as error:
        raise _damaged(path, packed, error) from error
    except (OSError, pa.ArrowException) as error:
        if packed is None:
            raise
        raise _damaged(path, packed, error) from error


def _damaged(path: Path, packed: str | None, error: Exception) -> DataError:
    return DataError(f"{path}: cannot be unpacked as {packed} ({error}). The file is truncated or damaged.")


def _unpacked(path: Path, packed: str | None) -> BinaryIO:
    if packed == "gzip":
        return cast(BinaryIO, gzip.open(path))
    if packed == "bzip2":
        return cast(BinaryIO, bz2.open(path))
    if packed == "xz":
        return cast(BinaryIO, lzma.open(path))
    if packed == "zstd":
        import pyarrow as pa

        # The standard library reads zstd from Python 3.14 on.
        return cast(BinaryIO, io.BufferedReader(pa.input_stream(str(path), compression="zstd")))
    if packed == "zip":
        member = _member(path)
        try:
            return cast(BinaryIO, zipfile.ZipFile(path).open(member))
        except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unknown compression
            raise _damaged(path, packed, error) from error
    return path.open("rb")


def _member(path: Path) -> str:
    """The one data file in a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise _damaged(path, "zip", error) from error
    if "[Content_Types].xml" in names:
        raise DataError(f"{path}: this is a spreadsheet. Export it as CSV.")
    found = [name for name in names if kind_suffix(Path(name)) and not name.startswith("__MACOSX/")]
    if len(found) != 1:
        raise DataError(
            f"{path}: the archive has {len(found)} data files ({listed((found or names)[:5])}). Unpack it, and give "
            f"task.path one file or a folder. Supported: {listed(FORMATS)}."
        )
    return found[0]


def _encoding(head: bytes, configured: str | None) -> str:
    try:
        name = "utf-8" if configured is None else codecs.lookup(configured).name
    except LookupError as error:
        raise ConfigError(
            f"task.encoding={configured}: unknown. Examples: utf-8, utf-16, cp1252, latin-1, gb18030."
        ) from error
    marked = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if marked and (configured is None or name.startswith("utf-16")):
        return "utf-16"
    return name.removesuffix("-sig")


def named(encoding: str) -> str:
    """An encoding as people write it: UTF-8."""
    return encoding.upper()


def _check_start(path: Path, kind: str, packed: str | None, head: bytes) -> None:
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{path}: this is {what}.")
    if head and head.startswith(b"PAR1") != (kind == "parquet"):
        if kind == "parquet":
            raise DataError(f"{path}: not a Parquet file. Give it the suffix of its actual type ({listed(FORMATS)}).")
        raise DataError(f"{path}: this is a Parquet file. Rename it to end in .parquet.")
    if kind == "parquet":
        if packed is not None:
            raise DataError(f"{path}: a Parquet file is compressed inside; unpack it first ({packed}).")
    elif b"\x00" in head:
        wide = head[1::2].count(0) > len(head) // 4 or head[::2].count(0) > len(head) // 4
        hint = " If it is text, name its encoding: task.encoding=utf-16-le." if wide else ""
        raise DataError(f"{path}: binary data; expected {'JSON lines' if kind == 'json' else 'CSV text'}.{hint}")


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
