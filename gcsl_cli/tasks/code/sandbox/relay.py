"""Between a candidate and its tests: frames are passed on unread, bytes and time are counted."""

import select
import time
from typing import Any

from gcsl_cli.tasks.code.sandbox.codec import MAX_FRAME, CodecError, TooLargeError, decode, encode
from gcsl_cli.tasks.code.sandbox.process import GoneError, Process

# What tests may take by themselves after their candidate has ended.
GRACE_SECONDS = 5.0


class TestsError(Exception):
    """The tests' own process did not do what it is for; the message is a kind of error."""


class Host:
    """The process of the tests, as the worker talks to it."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def ask(self, message: tuple[object, ...], deadline: float) -> None:
        """Send a message.

        Raises:
            TestsError: it does not read until the deadline.
        """
        try:
            self.process.send(encode(message), deadline)
        except GoneError:
            raise TestsError("tests") from None

    def poll(self) -> tuple[Any, ...] | None:
        """The next message, if there is one already.

        Raises:
            TestsError: it is gone, or says what makes no sense.
        """
        try:
            self.process.received = 0
            frame = self.process.receive(MAX_FRAME)
            return None if frame is None else tuple(decode(frame))
        except (GoneError, CodecError, TypeError):
            raise TestsError("tests") from None

    def reply(self, deadline: float) -> tuple[Any, ...] | None:
        """The next message; None at the deadline.

        Raises:
            TestsError: as `poll`.
        """
        while (message := self.poll()) is None:
            if not readable([self.process.stdout], deadline):
                return None
        return message


class Relay:
    """Passes frames between a candidate and its tests; notes which limit was reached."""

    def __init__(self, host: Host, candidate: Process, output_bytes: int, deadline: float) -> None:
        self.host = host
        self.output_bytes = output_bytes
        self.candidate = candidate
        self.deadline = deadline
        self.limit = ""
        self.alive = True
        # The first answer says how loading went.
        self.asked = True

    def run(self) -> tuple[int, str, str, int, bool]:
        """What the tests' process says at the end of the run.

        Raises:
            TestsError: it says nothing sensible, or nothing in time.
        """
        while True:
            message = self.host.poll()
            if message is not None:
                if message[0] == "done":
                    if self.alive and not self.asked and self.candidate.pending():
                        self._stop("forbidden")
                    return message[1:6] + message[6:]
                self._call(message[1])
                continue
            watched = [self.host.process.stdout, self.candidate.stdout] if self.alive else [self.host.process.stdout]
            ready = readable(watched, self.deadline)
            if self.alive and self.candidate.stdout in ready:
                self._answer()
            elif not ready:
                if not self.alive:
                    raise TestsError(self.limit or "timeout")
                self._stop("timeout")

    def _call(self, request: bytes) -> None:
        if not self.alive:
            self.host.ask(("gone",), self.deadline)
            return
        self.asked = True
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
        if not self.asked:
            self._stop("forbidden")
        elif frame is not None:
            self.asked = False
            self.host.ask(("answer", frame), self.deadline + GRACE_SECONDS)

    def _stop(self, limit: str) -> None:
        """End the candidate; tests that wait for it learn that it is gone."""
        self.limit = limit
        self.alive = False
        self.candidate.kill()
        self.deadline = time.monotonic() + GRACE_SECONDS
        if self.asked:
            self.host.ask(("gone",), self.deadline)


def readable(descriptors: list[int], deadline: float) -> list[int]:
    """Those that can be read or are closed; none at the deadline, of `time.monotonic`."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poller.poll(max(0.0, deadline - time.monotonic()) * 1000)]
