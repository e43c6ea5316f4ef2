"""The process that runs a problem's tests. It never executes the candidate; calls are forwarded over a pipe.

Frames in (see `codec`): ("problem", key, setup, tests, entry point), ("run", key), and during a run ("answer", bytes)
or ("gone",).
Frames out: ("ready", key, tests, together, error), ("call", bytes), and at the end of a run ("done", passed, kind,
message, test, together), where kind, message and test describe the first failed test.
"""

import builtins
import os
import random
from collections.abc import Callable
from typing import Any

from gcsl_cli.tasks.code.sandbox.candidate import described, take_channel
from gcsl_cli.tasks.code.sandbox.codec import CodecError, OutsideError, decode, encode, read_frame, write_frame
from gcsl_cli.tasks.code.sandbox.suite import Suite


class CandidateError(Exception):
    """A call to the candidate failed."""

    kind = "gone"


class Session:
    """Calls to one candidate. Once the candidate is gone or violates the protocol, all further tests fail."""

    def __init__(self, requests: int, answers: int) -> None:
        self.requests = requests
        self.answers = answers
        self.number = 0
        self.broken = ""
        self.together = False

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """Call the candidate's function; return its value or raise its exception."""
        if self.broken:
            raise failure(self.broken, "", "")
        self.number += 1
        try:
            request = encode((self.number, name, args, kwargs))
        except OutsideError:
            self.together = True
            raise
        write_frame(self.answers, encode(("call", request)))
        return self.answer()

    def answer(self) -> Any:
        """Wait for the candidate's answer to the last call."""
        message = decode(read_frame(self.requests) or os._exit(0))
        if message[0] != "answer":
            self.broken = "gone"
            raise failure("gone", "", "")
        try:
            number, kind, value, name = decode(message[1])
            if number != self.number or type(number) is not int or type(kind) is not str or type(name) is not str:
                raise ValueError
        except (CodecError, TypeError, ValueError):
            self.broken = "forbidden"
            raise failure("forbidden", "an answer that violates the protocol", "") from None
        if kind in {"value", "loaded"}:
            return value
        raise failure(kind, value if type(value) is str else "", name)

    def proxy(self, name: str) -> Callable[..., Any]:
        """A stand-in for the candidate's function."""

        def function(*args: object, **kwargs: object) -> Any:
            return self.call(name, args, kwargs)

        function.__name__ = function.__qualname__ = name
        return function


def failure(kind: str, message: str, name: str) -> Exception:
    """Build an exception that tests can catch as the built-in type that the candidate raised.

    StopIteration is excluded: it would silently end a loop over test cases.
    """
    raised = getattr(builtins, name, None)
    bases: tuple[type, ...] = (CandidateError,)
    stops = StopIteration | StopAsyncIteration
    if isinstance(raised, type) and issubclass(raised, Exception) and not issubclass(raised, stops):
        bases = (CandidateError, raised)
    try:
        error: Exception = type(name or "CandidateError", bases, {"kind": kind})(message)
    except TypeError:
        error = type("CandidateError", (CandidateError,), {"kind": kind})(message)
    return error


def graded(suite: Suite, session: Session) -> tuple[int, str, str, int]:
    """Number of passed tests; kind, message and index of the first failure (-1: none failed, or none ran)."""
    try:
        session.answer()
    except CandidateError as error:
        session.broken = session.broken or error.kind
        return 0, error.kind, str(error), -1
    random.seed(0)
    names: dict[str, Any] = {"__name__": "tests"}
    try:
        exec(suite.setup, names)
    except BaseException as error:  # noqa: BLE001
        return 0, "tests", f"setup: {described(error)[1]}", -1
    names[suite.entry] = names["candidate"] = session.proxy(suite.entry)
    outcomes = suite.run(names)
    return summary(outcomes if not session.broken else [e or failure(session.broken, "", "") for e in outcomes])


def summary(outcomes: list[BaseException | None]) -> tuple[int, str, str, int]:
    """Reduce the outcomes of all tests to the result of `graded`."""
    passed = sum(error is None for error in outcomes)
    for number, error in enumerate(outcomes):
        if isinstance(error, CandidateError):
            return passed, error.kind, str(error)[:200], number
        if isinstance(error, AssertionError):
            return passed, "wrong answer", str(error)[:200], number
        if error is not None:
            # The test could not handle the value, for instance when it took the length of None.
            return passed, "wrong answer", described(error)[1], number
    return passed, "", "", -1


def main() -> None:
    """Serve until the input ends."""
    requests, answers = take_channel()
    suites: dict[str, Suite] = {}
    while (frame := read_frame(requests)) is not None:
        message = decode(frame)
        if message[0] == "problem":
            _, key, setup, tests, entry = message
            try:
                suites[key] = suite = Suite(setup, tests, entry)
                reply: tuple[object, ...] = ("ready", key, suite.count, bool(suite.unknown), "")
            except (SyntaxError, ValueError, RecursionError) as error:
                reply = ("ready", key, 0, False, str(error)[:200] or type(error).__name__)
        elif message[0] == "run":
            session = Session(requests, answers)
            result = graded(suites[message[1]], session)
            reply = ("done", *result, session.together)
        else:
            continue
        write_frame(answers, encode(reply))
    os._exit(0)
