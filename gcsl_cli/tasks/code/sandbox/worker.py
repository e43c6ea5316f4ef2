"""The process that grades programs one at a time, each in a fresh sandbox; a separate sandbox runs the tests.

A worker executes no untrusted code. It relays frames between the two sandboxes, counts bytes and time, and kills what
exceeds its limits. If it is told to stop (TERM, HUP), it kills its sandboxes first. It is a small single-threaded
process because bubblewrap dies with the thread that started it and because spawning from a large process is slow.

Frames in (see `codec`): the settings, then (key, setup, tests, entry point, reference, together, code) per program.
Frames out: ("started", error), then per program the fields of `grader.Verdict` and whether to run it again because the
machine was busy.
"""

import os
import signal
import time
from collections import deque
from contextlib import suppress
from dataclasses import astuple, dataclass
from types import FrameType
from typing import Any

from gcsl_cli.tasks.code.sandbox.candidate import MESSAGE_CHARACTERS, NAME_CHARACTERS, shown
from gcsl_cli.tasks.code.sandbox.codec import (
    BrokenFrameError,
    CodecError,
    TooLargeError,
    decode,
    encode,
    read_frame,
    write_frame,
)
from gcsl_cli.tasks.code.sandbox.payload import BOOT, MODULES, payload, sources
from gcsl_cli.tasks.code.sandbox.privileges import drop_root
from gcsl_cli.tasks.code.sandbox.process import ALIVE, Backend, GoneError, Process
from gcsl_cli.tasks.code.sandbox.relay import GRACE_SECONDS, KILLED, Relay
from gcsl_cli.tasks.code.sandbox.tester_client import Tester, TestsError
from gcsl_cli.tasks.code.sandbox.together_client import StoppedError, next_frame, reported
from gcsl_cli.tasks.code.sandbox.usage import Watch

# A program that used less than this share of its CPU time until the wall limit may just have had to wait.
BUSY_SHARE = 0.5
# Sandboxes started in advance, because starting one takes longer than running most programs.
SPARES = 2
EXECUTED = "its tests execute answers"
# Failures of a reference apart from its tests that may be due to being apart.
SUSPECT = ("outside", "wrong answer", "exception")
SIZES = ("memory_bytes", "file_bytes", "open_files", "processes")
TOTALS = ("cpu_seconds", "memory_bytes", "file_bytes")


@dataclass(slots=True)
class Outcome:
    """The verdict in progress; the same fields as `grader.Verdict`, in the same order."""

    passed: int = 0
    tests: int = 0
    error: str = ""
    message: str = ""
    test: int = -1
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    together: bool = False
    exception: str = ""
    why: str = ""


class Worker:
    """The sandboxes of one worker and the problems that its tester has compiled."""

    def __init__(self, backend: Backend, limits: dict[str, Any], texts: dict[str, str], folders: list[str]) -> None:
        self.backend = backend
        self.limits = limits
        same = backend.same_interpreter
        self.payloads = {role: payload(texts, role, same_interpreter=same) for role in MODULES}
        command = list(backend.command)
        for number, folder in enumerate(folders):
            command = [folder if part == f"{{folder{number}}}" else part for part in command]
        self.command = [*command, "-I", "-S", "-E", "-B", "-c", BOOT, *backend.import_paths]
        self.tester: Tester | None = None
        self.spares: deque[Process] = deque()
        self.compiled: set[str] = set()
        self.known: dict[str, tuple[int, str, str]] = {}

    def grade(self, request: tuple[Any, ...]) -> tuple[Outcome, bool]:
        """Grade one program; also returns whether to run it again because the machine was busy."""
        key, setup, tests, entry, reference, together, code = request
        begin = time.monotonic()
        outcome = Outcome(together=together)
        slow_tests = False
        try:
            problem = (key, setup, tests, entry)
            tester, (outcome.tests, outcome.why, error) = self._prepared(problem, reference, together)
            if error or not outcome.tests:
                outcome.error, outcome.message = ("tests", error) if error else ("no tests", "")
            elif outcome.why:
                outcome.together = True
                self._together(outcome, setup, tests, entry, code)
            else:
                slow_tests = self._apart(outcome, tester, key, entry, code)
        except TestsError as error:
            outcome.passed, outcome.error = 0, str(error)
        outcome.message = shown(outcome.message, MESSAGE_CHARACTERS)
        outcome.exception = shown(outcome.exception, NAME_CHARACTERS)
        outcome.why = shown(outcome.why, MESSAGE_CHARACTERS)
        outcome.wall_seconds = time.monotonic() - begin
        busy = outcome.cpu_seconds < self.limits["cpu_seconds"] * BUSY_SHARE
        return outcome, outcome.error == "timeout" and busy and not slow_tests

    def close(self) -> None:
        """Kill all sandboxes."""
        self._drop_tester()
        while self.spares:
            self.spares.pop().kill()

    def _start(self, role: str) -> Process:
        return Process(self.backend, self.command, self.payloads[role])

    def _load_frame(self, code: str, entry: str) -> bytes:
        """The first frame to a candidate: its limits and its code."""
        limits = (self.limits["cpu_seconds"], *(self.limits[name] for name in SIZES))
        return encode((limits, self.limits["output_bytes"], code, entry))

    def _drop_tester(self) -> None:
        if self.tester is not None:
            self.tester.process.kill()
        self.tester = None
        self.compiled.clear()

    def _ready_tester(self) -> Tester:
        """The tester, or a new one if the last run was not cleared away."""
        now = time.monotonic()
        if self.tester is not None and not self.tester.settled(now + GRACE_SECONDS):
            self._drop_tester()
        if self.tester is None:
            # Programs choose what tests work on, so tests get the same limits. Only their CPU time, which they also
            # spend on references and checkers, is bounded by the wall limit alone.
            limits = (self.limits["wall_seconds"], *(self.limits[name] for name in SIZES))
            most = self.limits["memory_bytes"]
            self.tester = Tester(self._start("tester"), encode(limits), most, now + self.limits["wall_seconds"])
        return self.tester

    def _prepared(
        self, problem: tuple[Any, ...], reference: str, together: bool
    ) -> tuple[Tester, tuple[int, str, str]]:
        """A tester that knows the problem; number of tests, why they need one process, what is wrong with them."""
        key = problem[0]
        tester = self._ready_tester()
        if key not in self.compiled:
            deadline = time.monotonic() + GRACE_SECONDS + self.limits["wall_seconds"]
            found = tester.prepare(problem, deadline)
            self.compiled.add(key)
            if key not in self.known:
                count, why, error = found
                # Decided once, by the tests and the reference, so that no candidate can choose.
                if together:
                    why = "the problem asks for it"
                elif count and not (why or error):
                    why = self._compared(tester, problem, reference, count) if reference else self._tried(tester, key)
                self.known[key] = count, why, error
                return self._prepared(problem, reference, together)
        return tester, self.known[key]

    def _tried(self, tester: Tester, key: str) -> str:
        """Why tests without a reference need one process with programs; empty if they do not."""
        try:
            return tester.tried(key, time.monotonic() + self.limits["wall_seconds"])
        except TestsError:
            self._drop_tester()
            return ""

    def _compared(self, tester: Tester, problem: tuple[Any, ...], reference: str, count: int) -> str:
        """Why programs need one process with their tests: the reference does; empty if it does not."""
        key, setup, tests, entry = problem
        apart, together = Outcome(tests=count), Outcome(tests=count)
        self._apart(apart, tester, key, entry, reference)
        if apart.error not in SUSPECT:
            return ""
        self._together(together, setup, tests, entry, reference)
        reason = apart.message if apart.error == "outside" else f"{apart.error} {apart.exception}".rstrip()
        return f"its reference fails apart from them ({reason})" if together.passed > apart.passed else ""

    def _apart(self, outcome: Outcome, tester: Tester, key: str, entry: str, code: str) -> bool:
        """Run candidate and tests in separate sandboxes; returns whether it was the tests that took too long."""
        candidate = self.spares.popleft() if self.spares else self._start("candidate")
        deadline = time.monotonic() + self.limits["wall_seconds"]
        # If the candidate is already gone, the relay notices at its end of the pipe.
        with suppress(GoneError):
            candidate.send(self._load_frame(code, entry), deadline)
        while len(self.spares) < SPARES:
            self.spares.append(self._start("candidate"))
        cpu, memory, files, output = (self.limits[name] for name in (*TOTALS, "output_bytes"))
        relay = Relay(tester, candidate, cpu, memory, files, output, deadline)
        try:
            tester.start(b"R", key, deadline)
            result = relay.run(outcome.tests)
            outcome.passed, outcome.error, outcome.message, outcome.test, outcome.exception = result
        except TestsError as error:
            outcome.passed, outcome.error = 0, str(error)
            if tester.running:
                self._drop_tester()
        end = candidate.kill()
        outcome.cpu_seconds = end.cpu_seconds
        outcome.together = relay.executes_answers
        outcome.why = EXECUTED if relay.executes_answers else ""
        if outcome.error == "gone":
            outcome.error = relay.limit or self._cause(end.cpu_seconds, end.status)
        elif relay.limit == "forbidden":
            outcome.passed, outcome.error = 0, relay.limit
        return relay.slow_tests

    def _cause(self, cpu_seconds: float, status: int) -> str:
        """Why a candidate's process ended without being killed by the worker."""
        if status == KILLED:
            # The first process of a namespace cannot kill itself, so this is its own limit or a lack of memory.
            return "killed" if cpu_seconds < self.limits["cpu_seconds"] * 0.5 else "timeout"
        return "crash" if status > 128 else "exit"

    def _together(self, outcome: Outcome, setup: str, tests: tuple[str, ...], entry: str, code: str) -> None:
        """Run the candidate and its tests in one process."""
        outcome.passed, outcome.error, outcome.message, outcome.test = 0, "", "", -1
        process = self._start("together")
        deadline = time.monotonic() + self.limits["wall_seconds"]
        watch = Watch(process, *(self.limits[name] for name in TOTALS))
        token = os.urandom(16)
        results: list[tuple[str, str, str]] = []
        limit = ""
        try:
            process.send(self._load_frame(code, entry), deadline)
            _, kind, message, name = next_frame(process, watch, deadline)
            if kind != "loaded":
                outcome.error, outcome.message, outcome.exception = reported(kind, message, name)
            else:
                if process.pending():
                    raise BrokenFrameError("an answer before the request")
                process.send(encode((token, setup, tests)), deadline)
                for number in range(outcome.tests):
                    signed, test, kind, message, name = next_frame(process, watch, deadline)
                    if type(signed) is not bytes or signed != token or test != number:
                        raise BrokenFrameError("not the token")
                    results.append(reported(kind, message, name))
        except StoppedError as stopped:
            limit = str(stopped)
        except TooLargeError:
            limit = "output"
        except (CodecError, TypeError, ValueError, IndexError):
            limit, results = "forbidden", []
        except GoneError:
            limit = "gone"
        end = process.kill()
        outcome.cpu_seconds = end.cpu_seconds
        if limit:
            limit = self._cause(end.cpu_seconds, end.status) if limit == "gone" else limit
            results += [(limit, "", "")] * (outcome.tests - len(results))
        outcome.passed = sum(not kind for kind, _, _ in results)
        for number, result in enumerate(results):
            if result[0]:
                outcome.error, outcome.message, outcome.exception = result
                outcome.test = number
                break


def _stop(number: int, _: FrameType | None) -> None:
    """Kill all sandboxes and exit as a shell reports the signal."""
    for process in list(ALIVE):
        with suppress(OSError):
            process.signal()
    os._exit(128 + number)


def main() -> None:
    """Serve until the input ends."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    # A handler rather than SIG_IGN, which sandboxes would inherit. The grader decides what Ctrl-C means.
    signal.signal(signal.SIGINT, lambda *_: None)
    settings = decode(read_frame(0) or b"N")
    if settings is None:
        return
    try:
        backend = Backend(**settings["backend"])
        # Read before root is dropped: afterwards the package may be out of reach.
        texts = sources()
        folders = drop_root(backend.mounts) if backend.kind == "bubblewrap" else []
        worker = Worker(backend, settings["limits"], texts, folders)
    except OSError as error:
        write_frame(1, encode(("started", f"{error.strerror or error}")))
        return
    write_frame(1, encode(("started", "")))
    while (frame := read_frame(0)) is not None:
        try:
            outcome, again = worker.grade(decode(frame))
            write_frame(1, encode((*astuple(outcome), again)))
        except OSError as error:
            write_frame(1, encode(("failed", str(error))))
    worker.close()
