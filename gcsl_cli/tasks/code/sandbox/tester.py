"""The process that runs a problem's tests. It never executes the candidate; calls are forwarded over a pipe.

Each run has a forked process of its own, which decodes the candidate's values under the same limits as the candidate,
because candidates choose what tests work on (`range(solve(1))`). Nothing that happens there can reach a later run: the
main process only compiles tests and moves bytes, and what the run leaves behind is killed.

Frames in begin with a letter (see `codec` for the rest): P (key, setup, tests, entry point) compiles a problem, T key
tries its tests without a program, R key runs them, and A is followed by an answer for the run.
Frames out: P (tests, why they need one process with programs, error), O and output of the run, E (its exit status as a
shell reports it, whether it left nothing behind). A run's output consists of frames as well: C and a call, M if the
tests execute answers, and at the end D (passed, kind, message, test, exception) about the first failed test or, after
T, D and the reason for one process.
"""

import os
import random
import resource  # noqa: F401  # imported once here rather than in every run
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

from gcsl_cli.tasks.code.sandbox.candidate import (
    MESSAGE_CHARACTERS,
    apply_limits,
    described,
    take_channel,
)
from gcsl_cli.tasks.code.sandbox.codec import OutsideError, decode, encode, read_frame, write_frame
from gcsl_cli.tasks.code.sandbox.session import CandidateError, Session, failure, stand_in
from gcsl_cli.tasks.code.sandbox.suite import Suite

CHUNK = 2**16
UNKNOWN = "its tests use names that only a program defines"


Result = tuple[int, str, str, int, str]


def graded(suite: Suite, session: Session) -> Result:
    """Number of passed tests; kind, message, index (-1: none) and exception name of the first failure."""
    try:
        session.answer()
    except CandidateError as error:
        return 0, error.kind, str(error), -1, error.exception
    random.seed(0)
    names: dict[str, Any] = {"__name__": "tests"}
    try:
        exec(suite.setup, names)
    except BaseException as error:  # noqa: BLE001
        return 0, "tests", f"setup: {described(error)[1]}", -1, ""
    names[suite.entry] = names["candidate"] = session.proxy(suite.entry)
    outcomes = suite.run(names)
    return summary(outcomes if not session.broken else [e or failure(session.broken, "", "") for e in outcomes])


def summary(outcomes: list[BaseException | None]) -> Result:
    """Reduce the outcomes of all tests to the result of `graded`."""
    passed = sum(error is None for error in outcomes)
    for number, error in enumerate(outcomes):
        if isinstance(error, CandidateError):
            return passed, error.kind, str(error), number, error.exception
        if isinstance(error, MemoryError):
            return passed, "memory", "in the tests", number, ""
        if error is not None:
            # An assertion, or the test could not handle the value, for instance when it took the length of None.
            return passed, "wrong answer", described(error)[1], number, ""
    return passed, "", "", -1, ""


def needs_one_process(suite: Suite) -> str:
    """Why tests need one process with programs: they pass values that are not plain. Every answer is None."""
    outside: list[OutsideError] = []

    def call(args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        try:
            encode((args, kwargs))
        except OutsideError as error:
            outside.append(error)
            raise

    random.seed(0)
    names: dict[str, Any] = {"__name__": "tests"}
    try:
        exec(suite.setup, names)
        names[suite.entry] = names["candidate"] = stand_in(suite.entry, call)
        suite.run(names)
    except BaseException:  # noqa: BLE001
        # Runs report what is wrong with the tests.
        pass
    return f"its tests pass a value of type {outside[0]}" if outside else ""


def run_apart(work: Callable[[int, int], bytes], requests: int, answers: int) -> None:
    """Do work in a forked process, which gets pipes for frames in and out; its last frame is what the work returns."""
    from_main, to_run = os.pipe()
    from_run, to_main = os.pipe()
    child = os.fork()
    if not child:
        for descriptor in (requests, answers, to_run, from_run):
            os.close(descriptor)
        try:
            write_frame(to_main, b"D" + work(from_main, to_main))
        finally:
            os._exit(1)
    os.close(from_main)
    os.close(to_main)
    _forward(requests, answers, to_run, from_run)
    os.close(to_run)
    os.close(from_run)
    os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    clean = os.getpid() != 1 or _cleared()
    write_frame(answers, b"E" + encode((status if status >= 0 else 128 - status, clean)))


def _forward(requests: int, answers: int, to_run: int, from_run: int) -> None:
    """Move bytes until the run closes its pipe."""
    poller = select.poll()
    poller.register(requests, select.POLLIN)
    poller.register(from_run, select.POLLIN)
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == from_run:
                if not (part := os.read(from_run, CHUNK)):
                    return
                write_frame(answers, b"O" + part)
            elif (frame := read_frame(requests)) is None:
                os._exit(0)
            elif frame[:1] == b"A":
                try:
                    write_frame(to_run, frame[1:])
                except OSError:
                    return


def _cleared() -> bool:
    """Kill everything else in this namespace, whose first process this is; False if a run left files behind."""
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.wait()
    except OSError:
        return next(os.scandir("/tmp"), None) is None


def main() -> None:
    """Serve until the input ends."""
    requests, answers = take_channel()
    # The only signal with a handler, and thus the only one that a run could stop its namespace's first process with.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limits = decode(read_frame(requests) or os._exit(0))
    suites: dict[str, Suite] = {}
    while (frame := read_frame(requests)) is not None:
        kind = frame[:1]
        if kind == b"P":
            key, setup, tests, entry = decode(frame[1:])
            try:
                suites[key] = suite = Suite(setup, tests, entry)
                reply: tuple[object, ...] = (suite.count, UNKNOWN if suite.unknown else "", "")
            except (SyntaxError, ValueError, RecursionError) as error:
                reply = (0, "", str(error)[:MESSAGE_CHARACTERS] or type(error).__name__)
            write_frame(answers, b"P" + encode(reply))
        elif kind in {b"T", b"R"}:
            suite = suites[decode(frame[1:])]

            def run(ins: int, outs: int, suite: Suite = suite) -> bytes:
                session = Session(ins, outs)
                apply_limits(limits)
                sys.addaudithook(session.watch)
                return encode(graded(suite, session))

            def trial(_: int, __: int, suite: Suite = suite) -> bytes:
                apply_limits(limits)
                return encode(needs_one_process(suite))

            run_apart(run if kind == b"R" else trial, requests, answers)
    os._exit(0)
