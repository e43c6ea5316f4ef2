"""The process that runs the tests of a data set, and never a candidate: it asks for the values of calls.

Frames in, in the form of `codec`: ("problem", key, setup, tests, entry point), ("run", key), and while a run is on
("answer", bytes) and ("gone",). Frames out: ("ready", key, tests, together, error), ("call", bytes), and
("done", passed, kind, message, test, together) at the end of a run, where kind, message and test are of the first test
that failed.
"""

import builtins
import os
import random
from collections.abc import Callable
from typing import Any

from gcsl_cli.tasks.code.sandbox.candidate import described, take_channel
from gcsl_cli.tasks.code.sandbox.codec import CodecError, OutsideError, decode, encode, read_frame, write_frame
from gcsl_cli.tasks.code.sandbox.splitting import Suite


class CandidateError(Exception):
    """What a call of the candidate ended with, where it did not end with a value."""

    kind = "gone"


class Session:
    """Calls of one candidate. Once it is gone or breaks the rules, no test passes any more."""

    def __init__(self, requests: int, answers: int) -> None:
        self.requests = requests
        self.answers = answers
        self.number = 0
        self.broken = ""
        self.together = False

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """The value that the candidate's function returns; raises what it raised."""
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
        """The next answer of the candidate, if it is one to the last call."""
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
            raise failure("forbidden", "an answer that breaks the rules", "") from None
        if kind in {"value", "loaded"}:
            return value
        raise failure(kind, value if type(value) is str else "", name)

    def proxy(self, name: str) -> Callable[..., Any]:
        """The candidate's function, for tests to call."""

        def function(*args: object, **kwargs: object) -> Any:
            return self.call(name, args, kwargs)

        function.__name__ = function.__qualname__ = name
        return function


def failure(kind: str, message: str, name: str) -> Exception:
    """An exception for the tests: of the candidate's own type where a test may want to catch it.

    StopIteration is not handed on: it would end a loop over the tests' cases as if they were all done.
    """
    own = getattr(builtins, name, None)
    bases: tuple[type, ...] = (CandidateError,)
    if isinstance(own, type) and issubclass(own, Exception) and not issubclass(own, StopIteration | StopAsyncIteration):
        bases = (CandidateError, own)
    try:
        error: Exception = type(name or "CandidateError", bases, {"kind": kind})(message)
    except TypeError:
        error = type("CandidateError", (CandidateError,), {"kind": kind})(message)
    return error


def graded(suite: Suite, session: Session) -> tuple[int, str, str, int]:
    """Tests passed, and kind, message and number of the first that failed; -1 where none did or none was run."""
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
        return 0, "tests", f"their setup: {described(error)[1]}", -1
    names[suite.entry] = names["candidate"] = session.proxy(suite.entry)
    outcomes = suite.run(names)
    return summary(outcomes if not session.broken else [e or failure(session.broken, "", "") for e in outcomes])


def summary(outcomes: list[BaseException | None]) -> tuple[int, str, str, int]:
    """What `graded` returns, from how each test ended."""
    passed = sum(error is None for error in outcomes)
    for number, error in enumerate(outcomes):
        if isinstance(error, CandidateError):
            return passed, error.kind, str(error)[:200], number
        if isinstance(error, AssertionError):
            return passed, "wrong answer", str(error)[:200], number
        if error is not None:
            # The test itself could not deal with the value, for instance the length of None.
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
            passed = graded(suites[message[1]], session)
            reply = ("done", *passed, session.together)
        else:
            continue
        write_frame(answers, encode(reply))
    os._exit(0)
