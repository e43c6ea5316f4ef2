"""Calls from the tests' process to a candidate, and the errors that they raise there."""

import builtins
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from gcsl_cli.tasks.code.sandbox.candidate import NAME_CHARACTERS, REPORTED, shown
from gcsl_cli.tasks.code.sandbox.codec import CodecError, OutsideError, decode, encode, read_frame, write_frame


class CandidateError(Exception):
    """A call to the candidate failed."""

    kind = "gone"
    exception = ""


class Session:
    """Calls to one candidate. Once the candidate is gone or violates the protocol, all further tests fail."""

    def __init__(self, requests: int, answers: int) -> None:
        self.requests = requests
        self.answers = answers
        self.number = 0
        self.broken = ""
        self.executes = False
        self.unread: list[bytes] = []
        """Frames of the candidate that may have had text in them."""

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """Call the candidate's function; return its value or raise its exception."""
        if self.broken:
            raise failure(self.broken, "", "")
        self.number += 1
        try:
            request = encode((self.number, name, args, kwargs))
        except OutsideError as error:
            # The tests pass the reference only plain values, so this one is the candidate's.
            raise failure("outside", f"an argument of type {error}", "") from None
        write_frame(self.answers, b"C" + request)
        return self.answer()

    def answer(self) -> Any:
        """Wait for the candidate's answer to the last call."""
        frame = read_frame(self.requests) or os._exit(0)
        if frame == b"gone":
            self.broken = "gone"
            raise failure("gone", "", "")
        try:
            number, kind, value, name = decode(frame)
            if number != self.number or type(number) is not int or type(kind) is not str or type(name) is not str:
                raise ValueError
            if kind not in REPORTED | {"value" if number else "loaded"}:
                raise ValueError
        except (CodecError, TypeError, ValueError):
            self.broken = "forbidden"
            raise failure("forbidden", "an answer that violates the protocol", "") from None
        self.unread.append(frame)
        if kind in {"value", "loaded"}:
            return value
        raise failure(kind, value if type(value) is str else "", name)

    def proxy(self, name: str) -> Callable[..., Any]:
        """A stand-in for the candidate's function."""
        return stand_in(name, lambda args, kwargs: self.call(name, args, kwargs))

    def watch(self, event: str, _: tuple[object, ...]) -> None:
        """Audit hook: report that tests execute code after an answer with text in it, before they do."""
        if event not in {"exec", "pickle.find_class"} or not self.number or self.executes:
            return
        file = sys._getframe(1).f_code.co_filename
        if file in {"setup", "tests"} or (file.startswith("<") and not file.startswith("<frozen ")):
            while self.unread and not self.executes:
                _, _, value, name = decode(self.unread.pop())
                self.executes = has_text(value) or bool(name)
            if self.executes:
                write_frame(self.answers, b"M")


def has_text(value: object) -> bool:
    """Whether a plain value contains text or bytes, which could be code."""
    if isinstance(value, str | bytes):
        return bool(value)
    if isinstance(value, dict):
        return has_text([*value, *value.values()])
    if value is None or isinstance(value, range | int | float | complex):
        return False
    assert isinstance(value, Iterable)
    return any(map(has_text, value))


def stand_in(name: str, call: Callable[[tuple[object, ...], dict[str, object]], Any]) -> Callable[..., Any]:
    """A function of this name that passes its arguments on."""

    def function(*args: object, **kwargs: object) -> Any:
        return call(args, kwargs)

    function.__name__ = function.__qualname__ = name
    return function


def failure(kind: str, message: str, name: str) -> Exception:
    """Build an exception that tests can catch as the built-in type that the candidate raised.

    StopIteration is excluded: it would silently end a loop over test cases.
    """
    raised, name = getattr(builtins, name, None), shown(name, NAME_CHARACTERS)
    bases: tuple[type, ...] = (CandidateError,)
    stops = StopIteration | StopAsyncIteration
    if isinstance(raised, type) and issubclass(raised, Exception) and not issubclass(raised, stops):
        bases = (CandidateError, raised)
    fields = {"kind": kind, "exception": name}
    try:
        error: Exception = type(name or "CandidateError", bases, fields)(message)
    except TypeError:
        error = type("CandidateError", (CandidateError,), fields)(message)
    return error
