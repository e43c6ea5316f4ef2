"""The codec: values survive the round trip; everything else is refused."""

import math
import os
from collections import Counter, namedtuple
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.tasks.code.sandbox.codec import (
    MAX_DEPTH,
    BrokenFrameError,
    CodecError,
    OutsideError,
    TooLargeError,
    decode,
    encode,
    framed,
    read_frame,
    write_frame,
)

HASHABLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
PLAIN = st.recursive(
    HASHABLE | st.complex_numbers(allow_nan=False) | st.sets(HASHABLE) | st.frozensets(HASHABLE),
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.tuples(HASHABLE, HASHABLE) | HASHABLE, inner)
    ),
)


def shape(value: object) -> object:
    """A value together with all types in it, because True equals 1 and 1.0."""
    if isinstance(value, list | tuple):
        return type(value), [shape(item) for item in value]
    if isinstance(value, dict):
        return dict, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return type(value), {repr(item) for item in value}
    return type(value), repr(value)


@given(PLAIN)
def test_plain_values_round_trip(value: object) -> None:
    assert shape(decode(encode(value))) == shape(value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, -0.0, "\ud800", range(3, 9, 2), (), {}])
def test_rare_values_round_trip(value: object) -> None:
    assert repr(decode(encode(value))) == repr(value)


def test_integers_of_any_size_round_trip() -> None:
    """Including those of 255 and 256 bytes, where the encoding changes."""
    for value in (10**5000, -(2**4000), 2**2039 - 1, 2**2039, -(2**2039), 255, 256, -128, -129):
        assert decode(encode(value)) == value


def test_nan_round_trips() -> None:
    assert math.isnan(decode(encode(math.nan)))


class Equal(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class Level(IntEnum):
    HIGH = 3


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "plain"),
    [(Equal(4), 4), (Level.HIGH, 3), (Counter("aab"), {"a": 2, "b": 1}), (Point(1, 2), (1, 2)), ([Equal(1)], [1])],
)
def test_subclasses_are_sent_as_the_plain_base_type(value: object, plain: object) -> None:
    assert shape(decode(encode(value))) == shape(plain)


class Liar:
    __class__ = str  # type: ignore[assignment]


def test_other_types_are_refused() -> None:
    for value in (object(), print, Liar(), [Liar()], {1: Liar()}, lambda: 1, Ellipsis, bytearray(b"x")):
        with pytest.raises(OutsideError):
            encode(value)


def test_iterators_are_encoded_on_request_only() -> None:
    with pytest.raises(OutsideError, match="generator"):
        encode(number for number in range(3))
    assert list(decode(encode((number for number in range(3)), iterators=True))) == [0, 1, 2]


def test_sizes_are_limited() -> None:
    """A list element takes 3 bytes, a character 1 byte; the integer has 1001 bytes."""
    for value in ([1] * 400, "x" * 1001, 2**8000, iter(int, 1)):
        with pytest.raises(TooLargeError):
            encode(value, limit=1000, iterators=True)


def test_depth_is_limited_on_both_sides() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(TooLargeError):
        encode(value)
    with pytest.raises(BrokenFrameError):
        decode(b"l\0\0\0\1" * (MAX_DEPTH + 2) + b"N")


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    with suppress(CodecError):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"NN", b"i\5\1", b"s\0\0\0\4abc", b"l\xff\xff\xff\xffN", b"S\0\0\0\1l\0\0\0\0", b"d\0\0\0\1N", b"f\0"],
)
def test_broken_bytes_are_refused(data: bytes) -> None:
    """Empty input, unknown tag, trailing bytes, several truncated values, a list in a set, half a pair."""
    with pytest.raises(BrokenFrameError):
        decode(data)


@pytest.fixture
def pipe() -> tuple[int, Callable[[bytes], None]]:
    read, write = os.pipe()

    def fill(data: bytes) -> None:
        os.write(write, data)
        os.close(write)

    return read, fill


def test_frames(pipe: tuple[int, Callable[[bytes], None]]) -> None:
    read, fill = pipe
    fill(framed(b"one") + framed(b""))
    assert [read_frame(read), read_frame(read), read_frame(read)] == [b"one", b"", None]


def test_a_truncated_frame(pipe: tuple[int, Callable[[bytes], None]]) -> None:
    read, fill = pipe
    fill(framed(b"four")[:-1])
    with pytest.raises(BrokenFrameError):
        read_frame(read)


def test_a_frame_that_announces_a_huge_size(pipe: tuple[int, Callable[[bytes], None]]) -> None:
    read, fill = pipe
    fill(b"\xff\xff\xff\xff")
    with pytest.raises(TooLargeError):
        read_frame(read, 1000)


def test_writing_without_a_reader() -> None:
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(BrokenPipeError):
        write_frame(write, b"x")
