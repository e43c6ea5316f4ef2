"""Forward frames between a candidate and its tests without decoding the candidate's, within size and time limits."""

import math
import time

from gcsl_cli.tasks.code.sandbox.candidate import REPORTED
from gcsl_cli.tasks.code.sandbox.codec import CodecError, TooLargeError, decode
from gcsl_cli.tasks.code.sandbox.process import GoneError, Process
from gcsl_cli.tasks.code.sandbox.tester_client import Tester, TestsError, readable
from gcsl_cli.tasks.code.sandbox.usage import INTERVAL, Watch

# Time that tests may take after their candidate has been stopped.
GRACE_SECONDS = 2.0
# Results are short. A larger frame is not decoded, because decoding colliding values can take minutes.
RESULT_BYTES = 2**14
KILLED, TOO_MUCH_CPU = 128 + 9, 128 + 24


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
                self._refuse_more_answers()
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

    def _refuse_more_answers(self) -> None:
        """Stop a candidate that has answered more often than it was asked."""
        if self.alive and not self.awaiting_answer and self.candidate.pending():
            self._stop("forbidden")

    def _call(self, request: bytes) -> None:
        self._refuse_more_answers()
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
