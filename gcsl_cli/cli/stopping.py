"""Ctrl-C and SIGTERM, which clusters send: both stop the work the same way, with a message and an exit code each.

Imports nothing slow: the first seconds of a command, which it spends on imports, can be interrupted too.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MESSAGES = {
    signal.SIGINT: "Interrupted. Finished work is saved; run the same command to resume.",
    signal.SIGTERM: "Terminated. Finished work is saved; run the same command to resume.",
}

_received = signal.SIGINT


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM raise `KeyboardInterrupt` during the block, as Ctrl-C does."""
    global _received  # noqa: PLW0603
    _received = signal.SIGINT

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        global _received  # noqa: PLW0603
        _received = signal.SIGTERM
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_code() -> int:
    """Return the exit code of the signal that stopped the command."""
    return 128 + _received


def report(*, as_json: bool) -> int:
    """Say that the command was stopped, also as JSON on stdout, and return its exit code."""
    code, message = exit_code(), MESSAGES[_received]
    sys.stderr.write(f"\n{message}\n")
    if as_json:
        import json

        document = {"status": "interrupted", "message": message, "exit_code": code}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return code
