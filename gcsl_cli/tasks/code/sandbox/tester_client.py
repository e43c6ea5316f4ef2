"""The worker's side of a tester process: compile problems, start runs, and read what they send."""

import select
import time
from dataclasses import dataclass

from gcsl_cli.tasks.code.sandbox.codec import TooLargeError, decode, encode, frame_length
from gcsl_cli.tasks.code.sandbox.process import GoneError, Process


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

    def prepare(self, problem: tuple[object, ...], deadline: float) -> tuple[int, str, str]:
        """Compile a problem: number of tests, why they need the candidate in their process (or ""), what is wrong."""
        self._send(b"P" + encode(problem), deadline)
        self.running = True
        while (frame := self._frame()) is None:
            self._wait(deadline)
        self.running = False
        count, why, error = decode(frame[1:])
        return count, why, error

    def start(self, kind: bytes, key: str, deadline: float) -> None:
        """Start a run: "R" for a candidate, "T" to try the tests without one."""
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

    def tried(self, key: str, deadline: float) -> str:
        """Why the tests have to share a process with candidates; empty if they do not."""
        self.start(b"T", key, deadline)
        while True:
            message = self.poll()
            if message is None:
                self._wait(deadline)
            elif message.kind == b"D":
                why = decode(message.content)
                return why if isinstance(why, str) else ""
            elif message.kind == b"E":
                return ""

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


def readable(descriptors: list[int], deadline: float) -> list[int]:
    """Wait for descriptors to become readable or closed; empty at the deadline (on the clock of `time.monotonic`)."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poller.poll(max(0.0, deadline - time.monotonic()) * 1000)]
