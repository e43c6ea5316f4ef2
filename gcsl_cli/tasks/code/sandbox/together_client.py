"""The worker's side of a program that shares a process with its tests: read and check what it sends."""

import time
from typing import Any

from gcsl_cli.tasks.code.sandbox.candidate import REPORTED
from gcsl_cli.tasks.code.sandbox.codec import BrokenFrameError, decode
from gcsl_cli.tasks.code.sandbox.process import Process
from gcsl_cli.tasks.code.sandbox.relay import RESULT_BYTES
from gcsl_cli.tasks.code.sandbox.tester_client import readable
from gcsl_cli.tasks.code.sandbox.usage import INTERVAL, Watch


class StoppedError(Exception):
    """A program has to be stopped; the message is the limit."""


def next_frame(process: Process, watch: Watch, deadline: float) -> Any:
    """The next frame of a program that shares a process with its tests."""
    process.received = 0
    while (frame := process.receive(RESULT_BYTES)) is None:
        if limit := watch.exceeded():
            raise StoppedError(limit)
        ready = readable([process.stdout], min(deadline, time.monotonic() + INTERVAL))
        if not ready and time.monotonic() >= deadline:
            raise StoppedError("timeout")
    return decode(frame)


def reported(kind: object, message: object, name: object) -> tuple[str, str, str]:
    """Check what such a program reports."""
    if type(kind) is not str or type(message) is not str or type(name) is not str:
        raise BrokenFrameError("not texts")
    if kind not in REPORTED | {"", "wrong answer", "forbidden"}:
        raise BrokenFrameError("an unknown kind of error")
    return kind, message, name
