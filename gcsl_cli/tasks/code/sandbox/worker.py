"""The process that grades programs one at a time, each in a fresh sandbox; a separate sandbox runs the tests.

A worker executes no untrusted code. It relays frames between the two sandboxes, counts bytes and time, and kills what
exceeds its limits. It is a small single-threaded process because bubblewrap dies with the thread that started it and
because spawning from a large process is slow.

Frames in (see `codec`): the settings, then (key, setup, tests, entry point, together, code) per program.
Frames out: ("started", error), then the fields of `grader.Verdict` per program.
"""

import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import Any

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
from gcsl_cli.tasks.code.sandbox.process import Backend, GoneError, Process
from gcsl_cli.tasks.code.sandbox.relay import GRACE_SECONDS, Relay, Tester, TestsError, readable

KILLED = 128 + 9
# Sandboxes started in advance, because starting one takes longer than running most programs.
SPARES = 2


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
        self.known: dict[str, tuple[int, bool, str]] = {}

    def grade(self, request: tuple[Any, ...]) -> Outcome:
        """Grade one program."""
        key, setup, tests, entry, together, code = request
        begin = time.monotonic()
        outcome = Outcome(together=together)
        try:
            outcome.tests, unknown, error = self._prepared(key, setup, tests, entry)
            if error or not outcome.tests:
                outcome.error, outcome.message = ("tests", error) if error else ("no tests", "")
                return outcome
            outcome.together = together or unknown
            if not outcome.together:
                self._apart(outcome, key, entry, code)
            if outcome.together:
                self._together(outcome, setup, tests, entry, code)
        except TestsError as error:
            self._drop_tester()
            outcome.passed, outcome.error = 0, str(error)
        outcome.wall_seconds = time.monotonic() - begin
        return outcome

    def close(self) -> None:
        """Kill all sandboxes."""
        self._drop_tester()
        while self.spares:
            self.spares.pop().kill()

    def _start(self, role: str) -> Process:
        return Process(self.backend, self.command, self.payloads[role])

    def _load_frame(self, code: str, entry: str) -> bytes:
        """The first frame to a candidate: its limits and its code."""
        names = ("cpu_seconds", "memory_bytes", "file_bytes", "open_files", "processes")
        limits = tuple(self.limits[name] for name in names)
        return encode((limits, self.limits["output_bytes"], code, entry))

    def _drop_tester(self) -> None:
        if self.tester is not None:
            self.tester.process.kill()
        self.tester = None
        self.known.clear()

    def _prepared(self, key: str, setup: str, tests: tuple[str, ...], entry: str) -> tuple[int, bool, str]:
        """Number of tests, whether they need the candidate in their process, and what is wrong with them."""
        if self.tester is None:
            self.tester = Tester(self._start("tester"))
        if key not in self.known:
            deadline = time.monotonic() + GRACE_SECONDS + self.limits["wall_seconds"]
            self.tester.send(("problem", key, setup, tests, entry), deadline)
            reply = self.tester.reply(deadline)
            if reply is None or reply[0] != "ready":
                raise TestsError("tests")
            self.known[key] = (reply[2], reply[3], reply[4])
        return self.known[key]

    def _apart(self, outcome: Outcome, key: str, entry: str, code: str) -> None:
        """Run the candidate and its tests in separate sandboxes."""
        candidate = self.spares.popleft() if self.spares else self._start("candidate")
        deadline = time.monotonic() + self.limits["wall_seconds"]
        # If the candidate is already gone, the relay notices at its end of the pipe.
        with suppress(GoneError):
            candidate.send(self._load_frame(code, entry), deadline)
        while len(self.spares) < SPARES:
            self.spares.append(self._start("candidate"))
        assert self.tester is not None
        self.tester.send(("run", key), deadline)
        relay = Relay(self.tester, candidate, self.limits["output_bytes"], deadline)
        try:
            result = relay.run()
        finally:
            end = candidate.kill()
        outcome.cpu_seconds = end.cpu_seconds
        outcome.passed, outcome.error, outcome.message, outcome.test, outcome.together = result
        if outcome.error == "gone":
            outcome.error = relay.limit or self._cause(end.cpu_seconds, end.status)
        elif relay.limit == "forbidden" and not outcome.together:
            outcome.passed, outcome.error = 0, relay.limit

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
        token = os.urandom(16)
        results: list[tuple[str, str]] = []
        limit = ""
        try:
            process.send(self._load_frame(code, entry), deadline)
            report = _next(process, deadline, self.limits["output_bytes"])
            if report[1] != "loaded":
                outcome.error, outcome.message = str(report[1])[:80], str(report[2])[:200]
            else:
                if process.pending():
                    raise BrokenFrameError("an answer before the request")
                process.send(encode((token, setup, tests)), deadline)
                for number in range(outcome.tests):
                    signed, test, kind, message = _next(process, deadline, self.limits["output_bytes"])
                    if type(signed) is not bytes or signed != token or test != number:
                        raise BrokenFrameError("not the token")
                    results.append((str(kind)[:80], str(message)[:200]))
        except TimeoutError:
            limit = "timeout"
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
            results += [(limit, "")] * (outcome.tests - len(results))
        outcome.passed = sum(not kind for kind, _ in results)
        for number, (kind, message) in enumerate(results):
            if kind:
                outcome.error, outcome.message, outcome.test = kind, message, number
                break


def _next(process: Process, deadline: float, limit: int) -> Any:
    while (frame := process.receive(limit + 4096)) is None:
        if not readable([process.stdout], deadline):
            raise TimeoutError
    return decode(frame)


def main() -> None:
    """Serve until the input ends."""
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
            write_frame(1, encode(astuple(worker.grade(decode(frame)))))
        except OSError as error:
            write_frame(1, encode(("failed", str(error))))
    worker.close()
