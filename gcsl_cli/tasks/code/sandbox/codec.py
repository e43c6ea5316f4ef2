r"""Serialize plain values for pipes to untrusted processes.

    [1, "a"]    b"l" + count 2 + b"i" + size 1 + b"\x01" + b"s" + size 1 + b"a"

A frame is a four-byte length followed by its content. Decoding only ever builds built-in types, so no code of the
sender is carried over: an instance of a subclass that claims to equal everything arrives as its plain base type, any
other object is refused. Size and depth are limited on both sides. The module imports nothing that is slow to load.
"""

from posix import read, write

# Importing typing takes longer than starting the interpreter. struct and __future__ are extra files to load, too.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

MAX_DEPTH = 200
MAX_FRAME = 2**30


class CodecError(Exception):
    """The codec refuses a value or frame."""


class OutsideError(CodecError):
    """The value has an unsupported type; the message is the type's name."""


class TooLargeError(CodecError):
    """The value is larger or nested deeper than allowed."""


class BrokenFrameError(CodecError):
    """The bytes do not follow the format."""


def encode(value: object, *, limit: int = MAX_FRAME, iterators: bool = False) -> bytes:
    """Encode None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict or range.

    Instances of subclasses are encoded as the plain base type. With `iterators`, the remaining values of iterators are
    encoded, too.

    Raises:
        OutsideError: A value has another type.
        TooLargeError: The value takes more than `limit` bytes, or is nested deeper than `MAX_DEPTH` levels, as a
            self-referential value is.
    """
    encoder = _Encoder(limit, iterators)
    encoder.value(value, 0)
    return bytes(encoder.out)


class _Encoder:
    """The output so far and its size limit."""

    def __init__(self, limit: int, iterators: bool) -> None:
        self.out = bytearray()
        self.limit = limit
        self.iterators = iterators

    def value(self, value: object, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise TooLargeError(f"nested deeper than {MAX_DEPTH} levels")
        out = self.out
        # Not isinstance, which consults `__class__`: values may lie about it.
        kind: type = type(value)
        if value is None:
            out += b"N"
        elif value is True:
            out += b"T"
        elif value is False:
            out += b"F"
        elif issubclass(kind, int):
            self._int(int.__add__(value, 0))  # type: ignore[operator]
        elif issubclass(kind, float):
            text = float.hex(float.__pos__(value)).encode()  # type: ignore[arg-type]
            out += b"f" + bytes((len(text),)) + text
        elif issubclass(kind, str):
            self._raw(b"s", str.encode(value, "utf-8", "surrogatepass"))  # type: ignore[arg-type]
        elif issubclass(kind, bytes):
            self._raw(b"b", bytes.__getitem__(value, slice(None)))  # type: ignore[call-overload]
        elif issubclass(kind, complex):
            plain = complex.__pos__(value)  # type: ignore[arg-type]
            self._items(b"c", (plain.real, plain.imag), depth + 1)
        else:
            self._collection(value, depth + 1)
        if len(out) > self.limit:
            raise TooLargeError(f"more than {self.limit} bytes")

    def _int(self, value: int) -> None:
        size = value.bit_length() // 8 + 1
        if size > self.limit:
            raise TooLargeError(f"more than {self.limit} bytes")
        data = value.to_bytes(size, "big", signed=True)
        if size < 256:
            self.out += b"i" + bytes((size,)) + data
        else:
            self.out += b"I" + _length(size) + data

    def _raw(self, tag: bytes, data: bytes) -> None:
        if len(data) > self.limit:
            raise TooLargeError(f"more than {self.limit} bytes")
        self.out += tag + _length(len(data)) + data

    def _collection(self, value: object, depth: int) -> None:
        kind = type(value)
        # Iterate with the base class, so that a subclass cannot misreport its content.
        for base, tag in _COLLECTIONS:
            if issubclass(kind, base):
                return self._items(tag, base.__iter__(value), depth)  # type: ignore[attr-defined]
        if issubclass(kind, dict):
            # dict.copy for the same reason. Keys and values alternate as items.
            pairs: dict[object, object] = dict.copy(value)  # type: ignore[arg-type]
            return self._items(b"d", (part for pair in pairs.items() for part in pair), depth)
        if kind is range:
            return self._items(b"r", (value.start, value.stop, value.step), depth)  # type: ignore[attr-defined]
        if self.iterators and hasattr(kind, "__next__"):
            return self._items(b"g", value, depth)  # type: ignore[arg-type]
        raise OutsideError(kind.__name__)

    def _items(self, tag: bytes, items: "Iterable[object]", depth: int) -> None:
        out = self.out
        out += tag
        start = len(out)
        out += b"\0\0\0\0"
        count = 0
        for item in items:
            self.value(item, depth)
            count += 1
        out[start : start + 4] = _length(count)


def decode(data: bytes) -> "Any":
    """Decode one value; `BrokenFrameError` if the bytes are not those of exactly one."""
    try:
        value, end = _decode(data, 0, 0)
    except CodecError:
        raise
    except Exception as error:
        raise BrokenFrameError(f"{type(error).__name__} while decoding") from error
    if end != len(data):
        raise BrokenFrameError(f"{len(data) - end} trailing bytes")
    return value


def _decode(data: bytes, place: int, depth: int) -> "tuple[Any, int]":
    if depth > MAX_DEPTH:
        raise BrokenFrameError(f"nested deeper than {MAX_DEPTH} levels")
    tag = data[place]
    place += 1
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], place
    if tag in _SHORT:
        end = place + 1 + data[place]
        return _SHORT[tag](_part(data, place + 1, end)), end
    size = int.from_bytes(_part(data, place, place + 4), "big")
    place += 4
    if tag in _RAW:
        return _RAW[tag](_part(data, place, place + size)), place + size
    if tag not in _BUILDERS:
        raise BrokenFrameError(f"unknown tag {tag}")
    items: list[Any] = []
    append = items.append
    for _ in range(size):
        item, place = _decode(data, place, depth + 1)
        append(item)
    return _BUILDERS[tag](items), place


def _part(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise BrokenFrameError("truncated")
    return data[start:end]


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


_COLLECTIONS: tuple[tuple[type, bytes], ...] = ((list, b"l"), (tuple, b"t"), (set, b"S"), (frozenset, b"Z"))
_CONSTANTS: dict[int, object] = {ord("N"): None, ord("T"): True, ord("F"): False}
_SHORT: "dict[int, Callable[[bytes], object]]" = {
    ord("i"): _integer,
    ord("f"): lambda part: float.fromhex(part.decode("ascii")),
}
_RAW: "dict[int, Callable[[bytes], object]]" = {
    ord("I"): _integer,
    ord("s"): lambda part: part.decode("utf-8", "surrogatepass"),
    ord("b"): bytes,
}
_BUILDERS: "dict[int, Callable[[list[Any]], object]]" = {
    ord("l"): lambda items: items,
    ord("t"): tuple,
    ord("S"): set,
    ord("Z"): frozenset,
    ord("d"): lambda items: dict(zip(items[::2], items[1::2], strict=True)),
    ord("c"): lambda items: complex(*items),
    ord("r"): lambda items: range(*items),
    ord("g"): iter,
}


def _length(size: int) -> bytes:
    return size.to_bytes(4, "big")


def framed(data: bytes) -> bytes:
    """Prefix the content with its length."""
    return _length(len(data)) + data


def frame_length(head: bytes | bytearray) -> int:
    """Length of a frame's content in bytes, from its first four bytes."""
    return int.from_bytes(head[:4], "big")


def write_frame(descriptor: int, data: bytes) -> None:
    """Write one frame to a blocking descriptor; `OSError` if the reader is gone."""
    view = memoryview(framed(data))
    while view:
        view = view[write(descriptor, view) :]


def read_frame(descriptor: int, limit: int = MAX_FRAME) -> bytes | None:
    """Read the content of the next frame from a blocking descriptor; None at the end of the stream.

    Raises:
        TooLargeError: The frame announces more than `limit` bytes.
        BrokenFrameError: The stream ends within the frame.
    """
    head = _read_exactly(descriptor, 4)
    if not head:
        return None
    length = frame_length(head) if len(head) == 4 else 0
    if length > limit:
        raise TooLargeError(f"a frame of {length} bytes")
    data = _read_exactly(descriptor, length)
    if len(head) < 4 or len(data) < length:
        raise BrokenFrameError("truncated")
    return data


def _read_exactly(descriptor: int, size: int) -> bytes:
    parts = []
    while size and (part := read(descriptor, min(size, 2**20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
