"""Start a worker process and exchange requests and verdicts with it."""

import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gcsl_cli.errors import DependencyError
from gcsl_cli.tasks.code.sandbox.codec import CodecError, decode, encode, read_frame, write_frame
from gcsl_cli.tasks.code.sandbox.limits import Limits
from gcsl_cli.tasks.code.sandbox.process import Backend

_ROOT = Path(__file__).resolve().parents[4]
_START = "import sys; sys.path.insert(0, sys.argv[1]); from gcsl_cli.tasks.code.sandbox.worker import main; main()"
INSTALL = "sudo apt-get install bubblewrap"


class WorkerClient:
    """A worker process, restarted when it has died."""

    def __init__(self, backend: Backend, limits: Limits) -> None:
        self.settings = encode({"backend": asdict(backend), "limits": asdict(limits)})
        self.kind = backend.kind
        self.process: subprocess.Popen[bytes] | None = None
        self.stopped = False

    def start(self) -> None:
        """Start the process; `DependencyError` if it cannot start sandboxes."""
        command = [sys.executable, "-I", "-S", "-E", "-c", _START, str(_ROOT)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        try:
            reply = self._exchange(self.settings)
        except (OSError, CodecError):
            reply = ("started", "the worker process ended while starting")
        if reply[1]:
            self.close()
            raise DependencyError(
                f"task.sandbox.kind={self.kind} does not work here: {reply[1]}. Programs are never run without a "
                f"sandbox. Install bubblewrap ({INSTALL}), allow user namespaces if they are forbidden, or choose "
                "task.sandbox.kind=docker."
            )

    def ask(self, request: tuple[object, ...]) -> tuple[Any, ...]:
        """Send a request and wait for the reply. A program with which the worker dies twice is blamed for it.

        Raises:
            DependencyError: The sandbox cannot be started, or this worker was stopped.
        """
        for _ in range(2):
            if self.stopped:
                raise DependencyError("Grading was stopped.")
            if self.process is None:
                self.start()
            try:
                reply = self._exchange(encode(request))
            except (OSError, CodecError):
                self.close()
                continue
            if reply[0] == "failed":
                raise DependencyError(
                    f"task.sandbox.kind={self.kind} cannot run programs: {reply[1]}. If bubblewrap is missing, install "
                    f"it: {INSTALL}."
                )
            return reply
        message = "the process that graded this program ended, twice"
        return 0, 0, "killed", message, -1, math.nan, math.nan, False, "", False

    def stop(self) -> None:
        """Kill the worker's sandboxes and end it, whatever it is doing. It is not started again."""
        self.stopped = True
        if self.process is not None:
            self.process.terminate()

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
        """Wait for the process to end. Without input it does, and kills its sandboxes first."""
        if self.process is not None:
            for stream in (self.process.stdin, self.process.stdout):
                assert stream is not None
                stream.close()
            self.process.wait()
        self.process = None
