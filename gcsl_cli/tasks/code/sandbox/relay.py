"""Forward frames between a candidate and its tests without decoding the candidate's, within size and time limits."""

import math
import select
import time
from dataclasses import dataclass

from gcsl_cli.tasks.code.sandbox.candidate import REPORTED
from gcsl_cli.tasks.code.sandbox.codec import CodecError, TooLargeError, decode, encode, frame_length
from gcsl_cli.tasks.code.sandbox.process import GoneError, Process
from gcsl_cli.tasks.code.sandbox.usage import INTERVAL, Watch

# Time that tests may take after their candidate has been stopped.
GRACE_SECONDS = 2.0
# Results are short. A larger frame is not decoded, because decoding colliding values can take minutes.
RESULT_BYTES = 2**14
KILLED, TOO_MUCH_CPU = 128 + 9, 128 + 24


class TestsError(Exception):
    """The process of the tests failed; the message is a verdict's kind of error."""


@dataclass(frozen=True, slots=True)
class Message:
    """From the tests: "C" and a call, "D" and a result, "M" (they execute answers) or "E" (the run has ended)."""

    kind: bytes
    content: bytes


class Tester:
    """The worker's connection to a tester process."""

    def __init__(self, process: Process, limits: bytes, most: int, deadline: float) -> None:
        """`limits` are the tester's first frame, and `most` is the maximum size of a frame of a run in bytes."""
        self.process = process
        self.most = most
        self.buffer = bytearray()
        self.clean = True
        self.running = False
        """Whether its last task is not known to have ended; also true of a tester that is gone."""
        self._send(limits, deadline)

    def prepare(self, problem: tuple[object, ...], deadline: float) -> tuple[int, bool, str]:
        """Compile a problem: number of tests, whether they need the candidate in their process, what is wrong."""
        self._send(b"P" + encode(problem), deadline)
        self.running = True
        while (frame := self._frame()) is None:
            self._wait(deadline)
        self.running = False
        count, together, error = decode(frame[1:])
        return count, together, error

    def start(self, kind: bytes, key: str, deadline: float) -> None:
        """Start a run: "R" for a candidate, "T" to try the tests on the reference."""
        self._send(kind + encode(key), deadline)
        self.running = True

    def settled(self, deadline: float) -> bool:
        """Wait until the process of the last run is gone; False if it is not at the deadline, or left files behind."""
        try:
            while self.running:
                frame = self._frame()
                if frame is None:
                    self._wait(deadline)
                elif frame[:1] == b"E":
                    self._ended(frame)
        except TestsError:
            return False
        self.buffer.clear()
        return self.clean

    def answer(self, frame: bytes, deadline: float) -> None:
        """Pass an answer to the run."""
        self._send(b"A" + frame, deadline)

    def poll(self) -> Message | None:
        """Return the next message of the run, None if there is none yet.

        Raises:
            TestsError: The run sends something invalid or too large, or the tester is gone.
        """
        message = self._take()
        if message is None and (frame := self._frame()) is not None:
            if frame[:1] == b"E":
                return Message(b"E", self._ended(frame))
            self.buffer += frame[1:]
            message = self._take()
        return message

    def tried(self, key: str, deadline: float) -> bool:
        """Whether the tests and the reference have to share a process."""
        self.start(b"T", key, deadline)
        while True:
            message = self.poll()
            if message is None:
                self._wait(deadline)
            elif message.kind == b"D":
                return decode(message.content) is True
            elif message.kind == b"E":
                return False

    def _ended(self, frame: bytes) -> bytes:
        status, self.clean = decode(frame[1:])
        self.running = False
        return encode(status)

    def _take(self) -> Message | None:
        if len(self.buffer) < 4:
            return None
        length = frame_length(self.buffer[:4])
        if not 0 < length <= self.most:
            raise TestsError("memory")
        if len(self.buffer) < 4 + length:
            return None
        message = Message(bytes(self.buffer[4:5]), bytes(self.buffer[5 : 4 + length]))
        del self.buffer[: 4 + length]
        return message

    def _wait(self, deadline: float) -> None:
        if not readable([self.process.stdout], deadline):
            raise TestsError("timeout")

    def _send(self, frame: bytes, deadline: float) -> None:
        try:
            self.process.send(frame, deadline)
        except GoneError:
            self.running = True
            raise TestsError("tests") from None

    def _frame(self) -> bytes | None:
        self.process.received = 0
        try:
            return self.process.receive(self.most)
        except (GoneError, TooLargeError):
            self.running = True
            raise TestsError("tests") from None


class Relay:
    """One run of a candidate under its tests; records which limit was reached."""

    def __init__(
        self, tester: Tester, candidate: Process, cpu: float, memory: int, files: int, output: int, deadline: float
    ) -> None:
        """Limits: CPU seconds of the candidate, bytes of memory and files of each side, bytes of all answers."""
        self.tester = tester
        self.output = output
        self.candidate = candidate
        self.candidate_watch = Watch(candidate, cpu, memory, files)
        # Its main process adds what it has compiled, and the time of earlier runs.
        self.tester_watch = Watch(tester.process, math.inf, 2 * memory, files)
        self.deadline = deadline
        self.limit = ""
        self.slow_tests = False
        self.executes_answers = False
        self.alive = True
        # The first answer is the report on loading.
        self.awaiting_answer = True

    def run(self, tests: int) -> tuple[int, str, str, int, str]:
        """Relay until the tests are done and return the result: passed, kind, message, test, exception.

        Raises:
            TestsError: The tests send nothing valid, nothing in time, or reach a limit.
        """
        while True:
            message = self.tester.poll()
            if message is None:
                self._wait()
            elif message.kind == b"C":
                self._call(message.content)
            elif message.kind == b"M":
                self.executes_answers = True
            elif message.kind == b"E":
                raise TestsError(_ended(message.content))
            else:
                if self.alive and not self.awaiting_answer and self.candidate.pending():
                    self._stop("forbidden")
                return _result(message.content, tests)

    def _wait(self) -> None:
        """Wait for either side, and stop what exceeds a limit."""
        tester, candidate = self.tester.process.stdout, self.candidate.stdout
        pause = time.monotonic() + INTERVAL
        ready = readable([tester, candidate] if self.alive else [tester], min(pause, self.deadline))
        if self.alive and candidate in ready:
            self._answer()
        elif time.monotonic() >= self.deadline:
            self.slow_tests = not (self.alive and self.awaiting_answer)
            if self.slow_tests:
                raise TestsError(self.limit or "timeout")
            self._stop("timeout")
        self._look()

    def _look(self) -> None:
        """Stop the side that uses too much."""
        if self.alive and (limit := self.candidate_watch.exceeded()):
            self._stop(limit)
        if limit := self.tester_watch.exceeded():
            raise TestsError(limit)

    def _call(self, request: bytes) -> None:
        if not self.alive:
            self.tester.answer(b"gone", self.deadline)
            return
        self.awaiting_answer = True
        try:
            self.candidate.send(request, self.deadline, self._look)
        except GoneError:
            self._stop("timeout" if time.monotonic() >= self.deadline else "")

    def _answer(self) -> None:
        try:
            frame = self.candidate.receive(self.output + 4096)
        except TooLargeError:
            self._stop("output")
            return
        except GoneError:
            self._stop("")
            return
        if not self.awaiting_answer:
            self._stop("forbidden")
        elif frame is not None:
            self.awaiting_answer = False
            self.tester.answer(frame, self.deadline)

    def _stop(self, limit: str) -> None:
        """Kill the candidate and tell tests that wait for an answer."""
        if not self.alive:
            return
        self.limit = limit
        self.alive = False
        self.candidate.kill()
        self.deadline = min(self.deadline, time.monotonic()) + GRACE_SECONDS
        if self.awaiting_answer:
            self.tester.answer(b"gone", self.deadline)


def _result(content: bytes, tests: int) -> tuple[int, str, str, int, str]:
    """Check a result, which tests that execute answers do not control."""
    try:
        if len(content) > RESULT_BYTES:
            raise ValueError
        passed, kind, message, test, exception = decode(content)
        kinds = [type(one) for one in (passed, kind, message, test, exception)]
        if kinds != [int, str, str, int, str] or not (0 <= passed <= tests and -1 <= test < tests):
            raise ValueError
        if kind not in REPORTED | {"", "gone", "wrong answer", "tests", "forbidden"}:
            raise ValueError
    except (CodecError, TypeError, ValueError):
        raise TestsError("tests") from None
    return passed, kind, message, test, exception


def _ended(content: bytes) -> str:
    """Why the process of the tests ended before it had a result."""
    status = decode(content)
    if status in {KILLED, TOO_MUCH_CPU}:
        return "timeout"
    return "crash" if status > 128 else "tests"


def readable(descriptors: list[int], deadline: float) -> list[int]:
    """Wait for descriptors to become readable or closed; empty at the deadline (on the clock of `time.monotonic`)."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poller.poll(max(0.0, deadline - time.monotonic()) * 1000)]
