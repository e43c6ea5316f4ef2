"""One sandbox from the outside: started, written to, read from within limits, and ended with all that is in it."""

import fcntl
import math
import os
import resource  # noqa: F401  # os.wait4 needs it, at a time when it can no longer be found
import select
import signal
import time
from dataclasses import dataclass
from typing import Any

from gcsl_cli.tasks.code.sandbox.codec import TooLargeError, frame_length, framed
from gcsl_cli.tasks.code.sandbox.engine import FILTER, INFO, NAME, Engine

# Descriptors from here on are in nobody's way when a sandbox is started.
ABOVE = 20
CHUNK = 2**18


class GoneError(Exception):
    """The other side has closed its end, or did not read in time."""


@dataclass(frozen=True, slots=True)
class End:
    """How a sandbox ended: what it used, in seconds (NaN: not known), and the shell's number for it."""

    cpu_seconds: float
    status: int


class Process:
    """An interpreter in a sandbox that reads its own code first."""

    def __init__(self, engine: Engine, command: list[str], start: bytes) -> None:
        """Start it.

        Args:
            engine: of which kind it is.
            command: what to run, complete.
            start: what `payload` gives; it is written at once, so it has to be smaller than a pipe holds.
        """
        self.engine = engine
        self.name = f"gcsl-{os.getpid()}-{os.urandom(6).hex()}"
        command = [part.replace(NAME, self.name) for part in command]
        stdin, self.stdin = _pipe()
        self.stdout, stdout = _pipe()
        given = [(stdin, 0), (stdout, 1)]
        info = -1
        if engine.info:
            info, write = _pipe()
            given.append((write, INFO))
        if engine.filter:
            read, write = _pipe()
            os.write(write, engine.filter)
            os.close(write)
            given.append((read, FILTER))
        actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, mine, theirs) for mine, theirs in given]
        actions.append((os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0))
        environment = dict(os.environ) if engine.kind == "docker" else {}
        self.pid = os.posix_spawnp(command[0], command, environment, file_actions=actions, setsid=True)
        for mine, _ in given:
            os.close(mine)
        self.info = info
        self.buffer = bytearray()
        self.received = 0
        self.end: End | None = None
        os.set_blocking(self.stdin, False)
        os.set_blocking(self.stdout, False)
        self._first = bytes(start)

    def send(self, data: bytes, deadline: float) -> None:
        """Write one frame, with the interpreter's code before the first one.

        Raises:
            GoneError: nobody reads, until the deadline (of `time.monotonic`) or at all.
        """
        view = memoryview(self._first + framed(data))
        self._first = b""
        poller = select.poll()
        poller.register(self.stdin, select.POLLOUT)
        while view:
            try:
                view = view[os.write(self.stdin, view) :]
            except BlockingIOError:
                if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    raise GoneError("not read in time") from None
            except OSError as error:
                raise GoneError(str(error)) from error

    def receive(self, limit: int) -> bytes | None:
        """The next frame if it is there in full; call again when there is more to read.

        Args:
            limit: bytes of all frames of this sandbox at most; nothing beyond is read.

        Raises:
            TooLargeError: it sends more.
            GoneError: it has closed its end.
        """
        frame = self._take(limit)
        if frame is None:
            try:
                part = os.read(self.stdout, CHUNK)
            except BlockingIOError:
                return None
            if not part:
                raise GoneError("closed")
            self.buffer += part
            frame = self._take(limit)
        return frame

    def _take(self, limit: int) -> bytes | None:
        if len(self.buffer) < 4:
            return None
        length = frame_length(self.buffer[:4])
        if self.received + length > limit:
            raise TooLargeError(f"more than {limit} bytes of answers")
        if len(self.buffer) < 4 + length:
            return None
        frame = bytes(self.buffer[4 : 4 + length])
        del self.buffer[: 4 + length]
        self.received += length
        return frame

    def pending(self) -> bool:
        """Whether something was read that is not a whole frame yet, or is one that nobody asked for."""
        return bool(self.buffer)

    def kill(self) -> End:
        """End the sandbox with everything in it, and wait until that is so."""
        if self.end is None:
            self._signal()
            _, status, usage = os.wait4(self.pid, 0)
            cpu = usage.ru_utime + usage.ru_stime if self.engine.kind != "docker" else math.nan
            code = os.waitstatus_to_exitcode(status)
            self.end = End(cpu, code if code >= 0 else 128 - code)
            for descriptor in (self.stdin, self.stdout):
                os.close(descriptor)
        return self.end

    def _signal(self) -> None:
        if self.engine.stop:
            stop = [part.replace(NAME, self.name) for part in self.engine.stop]
            actions = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
            os.waitpid(os.posix_spawnp(stop[0], stop, dict(os.environ), file_actions=actions), 0)
        first = self._first_process()
        try:
            if first:
                # The first process of the namespace takes all the others with it, and bubblewrap, which waits for it,
                # then ends by itself and has their times.
                os.kill(first, signal.SIGKILL)
            else:
                os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _first_process(self) -> int:
        """The sandbox's first process, by its number outside; 0 where there is none."""
        if self.info < 0:
            return 0
        text = b""
        while part := os.read(self.info, 4096):
            text += part
        os.close(self.info)
        digits = text.partition(b'"child-pid":')[2].strip().split(b"\n")[0].split(b"}")[0].strip(b", ")
        return int(digits) if digits.isdigit() else 0


def _pipe() -> tuple[int, int]:
    """Both ends of a pipe, with high numbers, closed in what is started."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, ABOVE) for descriptor in low)
    for descriptor in low:
        os.close(descriptor)
    return high[0], high[1]
