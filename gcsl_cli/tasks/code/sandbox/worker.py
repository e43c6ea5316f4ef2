"""The process that grades one program after the other: one sandbox for each, another one for all their tests.

It runs no foreign code. It passes calls and answers on between the two sandboxes without reading them, counts bytes and
time, and ends what exceeds them. It is small and has one thread, because bubblewrap ends with the thread that started
it, and starting from a large process is slow.

Frames in, in the form of `codec`: the settings, then (key, setup, tests, entry point, together, code) for each program.
Frames out: ("started", error), then what `Verdict` of `grader` has, in its order.
"""

import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
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
from gcsl_cli.tasks.code.sandbox.engine import Engine
from gcsl_cli.tasks.code.sandbox.identity import become_nobody_else
from gcsl_cli.tasks.code.sandbox.payload import BOOT, payload, sources
from gcsl_cli.tasks.code.sandbox.process import GoneError, Process
from gcsl_cli.tasks.code.sandbox.relay import GRACE_SECONDS, Host, Relay, TestsError, readable

KILLED = 128 + 9
# Sandboxes that start while a program before them is run: starting one takes longer than most programs do.
SPARES = 2


@dataclass(slots=True)
class Outcome:
    """What is known of a program so far."""

    passed: int = 0
    tests: int = 0
    error: str = ""
    message: str = ""
    test: int = -1
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    together: bool = False

    def values(self) -> tuple[object, ...]:
        """In the order of `Verdict`."""
        error, message = self.error, self.message
        numbers = (self.cpu_seconds, self.wall_seconds)
        return (self.passed, self.tests, error, message, self.test, *numbers, self.together)


class Worker:
    """The sandboxes of one worker, and what it knows of the problems."""

    def __init__(self, engine: Engine, limits: dict[str, Any], texts: dict[str, str], folders: list[str]) -> None:
        self.engine = engine
        self.limits = limits
        same = engine.same_interpreter
        self.payloads = {
            role: payload(texts, role, same_interpreter=same) for role in ("candidate", "host", "together")
        }
        command = list(engine.command)
        for number, place in enumerate(folders):
            command = [place if part == f"{{folder{number}}}" else part for part in command]
        self.command = [*command, "-I", "-S", "-E", "-B", "-c", BOOT, *engine.paths]
        self.host: Host | None = None
        self.spares: deque[Process] = deque()
        self.known: dict[str, tuple[int, bool, str]] = {}

    def process(self, role: str) -> Process:
        """A sandbox that is about to be ready for this role."""
        return Process(self.engine, self.command, self.payloads[role])

    def own_limits(self) -> tuple[object, ...]:
        """What a candidate's process limits itself to."""
        names = ("cpu_seconds", "memory_bytes", "file_bytes", "open_files", "processes")
        return tuple(self.limits[name] for name in names)

    def grade(self, request: tuple[Any, ...]) -> Outcome:
        """The verdict on one program."""
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
            self._drop_host()
            outcome.passed, outcome.error = 0, str(error)
        outcome.wall_seconds = time.monotonic() - begin
        return outcome

    def close(self) -> None:
        """End all sandboxes."""
        self._drop_host()
        while self.spares:
            self.spares.pop().kill()

    def _drop_host(self) -> None:
        if self.host is not None:
            self.host.process.kill()
        self.host = None
        self.known.clear()

    def _prepared(self, key: str, setup: str, tests: tuple[str, ...], entry: str) -> tuple[int, bool, str]:
        """Tests of the problem, whether they need the candidate in their process, and what is wrong with them."""
        if self.host is None:
            self.host = Host(self.process("host"))
        if key not in self.known:
            deadline = time.monotonic() + GRACE_SECONDS + self.limits["wall_seconds"]
            self.host.ask(("problem", key, setup, tests, entry), deadline)
            reply = self.host.reply(deadline)
            if reply is None or reply[0] != "ready":
                raise TestsError("tests")
            self.known[key] = (reply[2], reply[3], reply[4])
        return self.known[key]

    def _fresh(self) -> Process:
        """The candidate's sandbox that was started first."""
        return self.spares.popleft() if self.spares else self.process("candidate")

    def _apart(self, outcome: Outcome, key: str, entry: str, code: str) -> None:
        candidate = self._fresh()
        deadline = time.monotonic() + self.limits["wall_seconds"]
        # Where it is gone already, its end of the pipe says so.
        with suppress(GoneError):
            candidate.send(encode((self.own_limits(), self.limits["output_bytes"], code, entry)), deadline)
        while len(self.spares) < SPARES:
            self.spares.append(self.process("candidate"))
        assert self.host is not None
        self.host.ask(("run", key), deadline)
        relay = Relay(self.host, candidate, self.limits["output_bytes"], deadline)
        try:
            done = relay.run()
        finally:
            end = candidate.kill()
        outcome.cpu_seconds = end.cpu_seconds
        outcome.passed, outcome.error, outcome.message, outcome.test, outcome.together = done
        if outcome.error == "gone":
            outcome.error = relay.limit or self._cause(end.cpu_seconds, end.status)
        elif relay.limit == "forbidden" and not outcome.together:
            outcome.passed, outcome.error = 0, relay.limit

    def _cause(self, cpu_seconds: float, status: int) -> str:
        """Why a candidate's process ended by itself."""
        if status == KILLED:
            # The first process of a namespace cannot kill itself; what is left is its own limit, or lack of memory.
            return "killed" if cpu_seconds < self.limits["cpu_seconds"] * 0.5 else "timeout"
        return "crash" if status > 128 else "exit"

    def _together(self, outcome: Outcome, setup: str, tests: tuple[str, ...], entry: str, code: str) -> None:
        outcome.passed, outcome.error, outcome.message, outcome.test = 0, "", "", -1
        process = self.process("together")
        deadline = time.monotonic() + self.limits["wall_seconds"]
        token = os.urandom(16)
        results: list[tuple[str, str]] = []
        limit = ""
        try:
            process.send(encode((self.own_limits(), self.limits["output_bytes"], code, entry)), deadline)
            loaded = _next(process, deadline, self.limits["output_bytes"])
            if loaded[1] != "loaded":
                outcome.error, outcome.message = str(loaded[1])[:80], str(loaded[2])[:200]
            else:
                if process.pending():
                    raise BrokenFrameError("an answer before it was asked")
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
        engine = Engine(**settings["engine"])
        # Before the change of user: afterwards the package may be out of reach.
        texts = sources()
        folders = become_nobody_else(engine.folders) if engine.kind == "bubblewrap" else []
        worker = Worker(engine, settings["limits"], texts, folders)
    except OSError as error:
        write_frame(1, encode(("started", f"{error.strerror or error}")))
        return
    write_frame(1, encode(("started", "")))
    while (frame := read_frame(0)) is not None:
        try:
            write_frame(1, encode(worker.grade(decode(frame)).values()))
        except OSError as error:
            write_frame(1, encode(("failed", str(error))))
    worker.close()
