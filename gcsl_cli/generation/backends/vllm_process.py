"""Start the process that samples with vLLM, exchange messages with it, and stop it."""

import json
import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from gcsl_cli.errors import SamplingError
from gcsl_cli.generation.backends.vllm_environment import VllmEnvironment
from gcsl_cli.runs.files import PARTIAL, storage_errors

LAUNCHERS = {
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "RANK",
    "ROLE_NAME",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "WORLD_SIZE",
}
"""Variables by which torch's launcher tells ranks apart. The worker is not one of them."""
SHOWN_LINES = 10
SECONDS_TO_END = 20

log = logging.getLogger("gcsl")


class Worker:
    """A running process that has loaded one model."""

    def __init__(self, environment: VllmEnvironment, settings: Mapping[str, Any]) -> None:
        """Start the process and the engine; `settings` are arguments of `vllm.LLM`.

        Raises:
            ConfigError, DependencyError: the environment cannot be used.
            SamplingError: the engine does not start.
        """
        environment.check()
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # `close` does
        self.process = subprocess.Popen(
            environment.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            encoding="utf-8",
            env={name: value for name, value in os.environ.items() if name not in LAUNCHERS},
            start_new_session=True,  # Ctrl-C is for gcsl, which then ends the worker
        )
        try:
            self.ask(settings)
        except BaseException:
            self.close()
            raise

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message and wait for the reply.

        Raises:
            SamplingError: the process has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            raise self._ended()
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """End the process, and whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        log.debug("output of the vLLM process:\n%s", self._output())
        for stream in (self.process.stdin, self.process.stdout, self.log):
            with suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]

    def _ended(self) -> SamplingError:
        code = self.process.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        lines = [line.rstrip() for line in self._output().splitlines() if line.strip()]
        last = "\n".join(f"  {line}" for line in lines[-SHOWN_LINES:]) or "  (none)"
        return SamplingError(
            f"The vLLM process {how}. Finished shards are kept; run the same command to resume. If memory was short, "
            "use smaller batches (generation.batch_size) or less of the GPU "
            "(+generation.vllm.engine.gpu_memory_utilization=0.5); generation.backend=hf samples without vLLM. "
            f"Its last lines:\n{last}"
        )

    def _output(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


class Engines:
    """Keeps the latest worker running inside `kept` blocks: one at a time, because each takes a device's memory.

    Blocks may be nested.
    """

    def __init__(self) -> None:
        self._blocks = 0
        self._running: Worker | None = None
        self._started_with: Any = None
        self._folders: dict[Path, Path] = {}
        self._cleanup = ExitStack()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Let a worker that is started in this block run until the end of the outermost one."""
        self._blocks += 1
        try:
            yield
        finally:
            self._blocks -= 1
            if not self._blocks:
                self._stop()
                self._folders.clear()
                self._cleanup.close()

    def worker(self, environment: VllmEnvironment, settings: Mapping[str, Any]) -> Worker:
        """The running worker if it was started with this, else a new one in its place; only in a `kept` block."""
        assert self._blocks
        if self._running is None or self._started_with != (environment, settings):
            self._stop()
            self._running, self._started_with = Worker(environment, settings), (environment, settings)
        return self._running

    def folder(self, source: Path, fill: Callable[[Path], object]) -> Path:
        """A folder that `fill` makes out of `source`, beside it, until the end of the outermost block."""
        assert self._blocks
        if source not in self._folders:
            with storage_errors(source.parent):
                made = tempfile.TemporaryDirectory(prefix=f".{source.name}-", suffix=PARTIAL, dir=source.parent)
                name = self._cleanup.enter_context(made)
                fill(Path(name))
            self._folders[source] = Path(name)
        return self._folders[source]

    def _stop(self) -> None:
        if self._running is not None:
            self._running.close()
            self._running = None
