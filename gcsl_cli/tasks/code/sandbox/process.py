"""One sandboxed interpreter as seen from outside: start it, exchange frames with it, kill it."""

import fcntl
import math
import os
import re
import resource  # noqa: F401  # os.wait4 imports it lazily, which fails once root is dropped
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gcsl_cli.tasks.code.sandbox.codec import TooLargeError, frame_length, framed

# Descriptors that the command finds open, besides the standard streams.
INFO_FD, FILTER_FD = 3, 4
# Placeholder in command lines for the unique name of a sandbox.
NAME = "{name}"
# Parent descriptors are moved to numbers from this one up, so that they cannot collide with those of the child.
MIN_FD = 20
CHUNK = 2**18
IDLE_SECONDS = 0.05
ALIVE: "set[Process]" = set()
"""Sandboxes to kill when this process is told to stop."""


class GoneError(Exception):
    """The other side closed its end of the pipe or did not read in time."""


@dataclass(frozen=True, slots=True)
class Backend:
    """How to start and stop sandboxes of one kind."""

    kind: str
    command: list[str]
    """Command line up to the interpreter's own arguments."""
    seccomp_filter: bytes = b""
    """System call filter, passed on the descriptor `FILTER_FD`."""
    reports_pid: bool = False
    """Whether the command reports the pid of the sandbox's first process on the descriptor `INFO_FD`."""
    stop: list[str] = field(default_factory=list)
    """Command that stops a sandbox which would outlive the process that started it."""
    mounts: list[str] = field(default_factory=list)
    """Folders that replace `{folder0}`, `{folder1}`, ... in the command. An unprivileged user may not reach them."""
    import_paths: list[str] = field(default_factory=list)
    """Folders inside the sandbox that are added to `sys.path`."""
    same_interpreter: bool = True
    """Whether the sandbox runs the same Python version as the worker."""


@dataclass(frozen=True, slots=True)
class End:
    """CPU seconds that a sandbox used (NaN: unknown) and its exit status as a shell reports it."""

    cpu_seconds: float
    status: int


class Process:
    """A sandboxed interpreter that first reads its own code from standard input."""

    def __init__(self, backend: Backend, command: list[str], code: bytes) -> None:
        """Start the sandbox with a complete command line; its code (see `payload`) is sent before the first frame."""
        self.backend = backend
        self.name = f"gcsl-{os.getpid()}-{os.urandom(6).hex()}"
        command = [part.replace(NAME, self.name) for part in command]
        stdin, self.stdin = _pipe()
        self.stdout, stdout = _pipe()
        inherited = [(stdin, 0), (stdout, 1)]
        self.info = -1
        if backend.reports_pid:
            self.info, write = _pipe()
            inherited.append((write, INFO_FD))
        if backend.seccomp_filter:
            read, write = _pipe()
            os.write(write, backend.seccomp_filter)
            os.close(write)
            inherited.append((read, FILTER_FD))
        actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in inherited]
        actions.append((os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0))
        environment = dict(os.environ) if backend.kind == "docker" else {}
        self.pid = os.posix_spawnp(command[0], command, environment, file_actions=actions, setsid=True)
        ALIVE.add(self)
        for ours, _ in inherited:
            os.close(ours)
        self.buffer = bytearray()
        self.received = 0
        self.end: End | None = None
        os.set_blocking(self.stdin, False)
        os.set_blocking(self.stdout, False)
        self._unsent_code = code

    def send(self, data: bytes, deadline: float, idle: Callable[[], None] = lambda: None) -> None:
        """Write one frame; the first one is preceded by the interpreter's code. `idle` is called while nobody reads.

        Raises:
            GoneError: Nobody reads, or not before the deadline (on the clock of `time.monotonic`).
        """
        view = memoryview(self._unsent_code + framed(data))
        self._unsent_code = b""
        poller = select.poll()
        poller.register(self.stdin, select.POLLOUT)
        while view:
            try:
                view = view[os.write(self.stdin, view) :]
            except BlockingIOError:
                if (left := deadline - time.monotonic()) <= 0:
                    raise GoneError("not read in time") from None
                poller.poll(min(left, IDLE_SECONDS) * 1000)
                idle()
            except OSError as error:
                raise GoneError(str(error)) from error

    def receive(self, limit: int) -> bytes | None:
        """Return the next frame, or None while it is incomplete; call again once there is more to read.

        `limit` is the maximum total size of this sandbox's frames in bytes; nothing beyond it is read.

        Raises:
            TooLargeError: The sandbox sends more.
            GoneError: The sandbox closed its end.
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
        """Return True if there is unconsumed output: part of a frame, or a frame that nobody asked for."""
        return bool(self.buffer)

    def kill(self) -> End:
        """Kill everything in the sandbox and wait until it is gone."""
        if self.end is None:
            self.signal()
            _, status, usage = os.wait4(self.pid, 0)
            cpu = usage.ru_utime + usage.ru_stime if self.backend.kind != "docker" else math.nan
            code = os.waitstatus_to_exitcode(status)
            self.end = End(cpu, code if code >= 0 else 128 - code)
            ALIVE.discard(self)
            for descriptor in (self.stdin, self.stdout):
                os.close(descriptor)
        return self.end

    def signal(self) -> None:
        """Kill everything in the sandbox without waiting."""
        if self.backend.stop:
            stop = [part.replace(NAME, self.name) for part in self.backend.stop]
            actions = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
            os.waitpid(os.posix_spawnp(stop[0], stop, dict(os.environ), file_actions=actions), 0)
        try:
            if self.backend.reports_pid and self.first_process:
                # Killing a namespace's first process kills all others in it. Bubblewrap, which waits for it, then exits
                # and accounts for their CPU time.
                os.kill(self.first_process, signal.SIGKILL)
            else:
                os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    @cached_property
    def first_process(self) -> int:
        """Pid of the sandbox's first process as seen from outside; 0 if there is none or it is not known."""
        if self.info < 0:
            return self.pid if self.backend.kind == "rlimit" else 0
        text = b""
        while part := os.read(self.info, 4096):
            text += part
        os.close(self.info)
        found = re.search(rb'"child-pid":\s*(\d+)', text)
        return int(found[1]) if found else 0


def _pipe() -> tuple[int, int]:
    """Both ends of a pipe, at descriptors from `MIN_FD` up and closed on exec."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, MIN_FD) for descriptor in low)
    for descriptor in low:
        os.close(descriptor)
    return high[0], high[1]
