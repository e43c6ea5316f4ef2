"""Forward frames between a candidate and its tests without decoding the candidate's, within size and time limits."""

import select
import time
from typing import Any

from gcsl_cli.tasks.code.sandbox.codec import MAX_FRAME, CodecError, TooLargeError, decode, encode
from gcsl_cli.tasks.code.sandbox.process import GoneError, Process

# Time that tests may take after their candidate has ended.
GRACE_SECONDS = 5.0


class TestsError(Exception):
    """The tester process failed; the message is a verdict's kind of error."""


class Tester:
    """The worker's connection to a tester process."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def send(self, message: tuple[object, ...], deadline: float) -> None:
        """Send a message; `TestsError` if it is not read before the deadline."""
        try:
            self.process.send(encode(message), deadline)
        except GoneError:
            raise TestsError("tests") from None

    def poll(self) -> tuple[Any, ...] | None:
        """Return the next message, None if there is none yet; `TestsError` if it is invalid or the process is gone."""
        try:
            self.process.received = 0
            frame = self.process.receive(MAX_FRAME)
            return None if frame is None else tuple(decode(frame))
        except (GoneError, CodecError, TypeError):
            raise TestsError("tests") from None

    def reply(self, deadline: float) -> tuple[Any, ...] | None:
        """Wait for the next message; None at the deadline. Raises as `poll` does."""
        while (message := self.poll()) is None:
            if not readable([self.process.stdout], deadline):
                return None
        return message


class Relay:
    """One run of a candidate under its tests; records which limit was reached."""

    def __init__(self, tester: Tester, candidate: Process, output_bytes: int, deadline: float) -> None:
        self.tester = tester
        self.output_bytes = output_bytes
        self.candidate = candidate
        self.deadline = deadline
        self.limit = ""
        self.alive = True
        # The first answer is the report on loading.
        self.awaiting_answer = True

    def run(self) -> tuple[int, str, str, int, bool]:
        """Relay until the tests are done and return the tester's result.

        Raises:
            TestsError: The tester sends nothing valid, or nothing in time.
        """
        while True:
            message = self.tester.poll()
            if message is not None:
                if message[0] == "done":
                    if self.alive and not self.awaiting_answer and self.candidate.pending():
                        self._stop("forbidden")
                    return message[1:6]
                self._call(message[1])
                continue
            tester, candidate = self.tester.process.stdout, self.candidate.stdout
            ready = readable([tester, candidate] if self.alive else [tester], self.deadline)
            if self.alive and candidate in ready:
                self._answer()
            elif not ready:
                if not self.alive:
                    raise TestsError(self.limit or "timeout")
                self._stop("timeout")

    def _call(self, request: bytes) -> None:
        if not self.alive:
            self.tester.send(("gone",), self.deadline)
            return
        self.awaiting_answer = True
        try:
            self.candidate.send(request, self.deadline)
        except GoneError:
            self._stop("timeout" if time.monotonic() >= self.deadline else "")

    def _answer(self) -> None:
        try:
            frame = self.candidate.receive(self.output_bytes + 4096)
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
            self.tester.send(("answer", frame), self.deadline + GRACE_SECONDS)

    def _stop(self, limit: str) -> None:
        """Kill the candidate and tell tests that wait for an answer."""
        self.limit = limit
        self.alive = False
        self.candidate.kill()
        self.deadline = time.monotonic() + GRACE_SECONDS
        if self.awaiting_answer:
            self.tester.send(("gone",), self.deadline)


def readable(descriptors: list[int], deadline: float) -> list[int]:
    """Wait for descriptors to become readable or closed; empty at the deadline (on the clock of `time.monotonic`)."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poller.poll(max(0.0, deadline - time.monotonic()) * 1000)]
