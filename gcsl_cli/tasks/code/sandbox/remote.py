"""A worker's process, from the side of those who give it work."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gcsl_cli.errors import DependencyError
from gcsl_cli.tasks.code.sandbox.codec import CodecError, decode, encode, read_frame, write_frame
from gcsl_cli.tasks.code.sandbox.engine import Engine
from gcsl_cli.tasks.code.sandbox.limits import Limits

_ROOT = Path(__file__).resolve().parents[4]
_START = "import sys; sys.path.insert(0, sys.argv[1]); from gcsl_cli.tasks.code.sandbox.worker import main; main()"
INSTALL = "sudo apt-get install bubblewrap"


class RemoteWorker:
    """Started on first use, and again when it ended."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self.settings = encode({"engine": asdict(engine), "limits": asdict(limits)})
        self.kind = engine.kind
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it.

        Raises:
            DependencyError: it cannot start sandboxes.
        """
        command = [sys.executable, "-I", "-S", "-E", "-c", _START, str(_ROOT)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        try:
            reply = self._exchange(self.settings)
        except (OSError, CodecError):
            reply = ("started", "its process ended at the start")
        if reply[1]:
            self.close()
            raise DependencyError(
                f"task.sandbox.kind={self.kind} does not work here: {reply[1]}. Without a sandbox no program is run. "
                f"Install bubblewrap ({INSTALL}), allow user namespaces where they are forbidden, or choose "
                "task.sandbox.kind=docker."
            )

    def ask(self, request: tuple[object, ...]) -> tuple[Any, ...]:
        """The worker's answer.

        Raises:
            DependencyError: the sandbox cannot be started.
        """
        if self.process is None:
            self.start()
        try:
            reply = self._exchange(encode(request))
        except (OSError, CodecError):
            self.close()
            reply = ("failed", "the worker's process ended")
        if reply[0] == "failed":
            raise DependencyError(
                f"task.sandbox.kind={self.kind} cannot run programs: {reply[1]}. Where it is not installed: {INSTALL}."
            )
        return reply

    def _exchange(self, data: bytes) -> tuple[Any, ...]:
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        write_frame(self.process.stdin.fileno(), data)
        frame = read_frame(self.process.stdout.fileno())
        if frame is None:
            raise OSError("closed")
        return tuple(decode(frame))

    def close(self) -> None:
        """End it; it ends its sandboxes first."""
        if self.process is not None:
            for stream in (self.process.stdin, self.process.stdout):
                assert stream is not None
                stream.close()
            self.process.wait()
        self.process = None
