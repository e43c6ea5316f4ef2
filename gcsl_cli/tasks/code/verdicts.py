"""Verdicts on many programs: each distinct one is run once, and what was graded is kept in shards.

A verdict row (`verdicts/9f2c0a1b7d3e4f56.parquet`):
    {"passed": 5, "tests": 7, "error": "wrong answer", "message": "", "test": 2, "cpu_seconds": 0.03,
     "wall_seconds": 0.05, "together": false}
A shard is named by everything that its verdicts depend on: programs, tests, limits and the kind of sandbox.
"""

import hashlib
import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa

from gcsl_cli.errors import ConfigError, did_you_mean, listed
from gcsl_cli.runs.progress import progress
from gcsl_cli.tasks.code.sandbox.engine import KINDS, Kind, Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict, grade
from gcsl_cli.tasks.code.sandbox.limits import MEBIBYTE, Limits
from gcsl_cli.tasks.code.shards import keep, kept_rows

SHARD = 512
"""Programs a shard: what an interruption can cost at most."""
VERDICTS = pa.schema(
    [
        ("passed", pa.int32()),
        ("tests", pa.int32()),
        ("error", pa.string()),
        ("message", pa.string()),
        ("test", pa.int32()),
        ("cpu_seconds", pa.float64()),
        ("wall_seconds", pa.float64()),
        ("together", pa.bool_()),
    ]
)


@dataclass
class SandboxConfig:
    """Where programs run, and what one may use."""

    kind: str = "bubblewrap"
    cpu_seconds: float = 3.0
    wall_seconds: float = 10.0
    memory_mib: int = 512
    output_mib: int = 8
    workers: int | None = None
    image: str = "python:3.11-slim"

    def check(self) -> None:
        """Refuse what cannot be used.

        Raises:
            ConfigError: a limit is too small, or there is no such sandbox.
        """
        self.limits()
        self.sandbox()
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"task.sandbox.workers={self.workers}: must be at least 1, or null for one a core.")

    def limits(self) -> Limits:
        """As the grader takes them."""
        return Limits(
            cpu_seconds=self.cpu_seconds,
            wall_seconds=self.wall_seconds,
            memory_bytes=self.memory_mib * MEBIBYTE,
            output_bytes=self.output_mib * MEBIBYTE,
        )

    def sandbox(self) -> Sandbox:
        """As the grader takes it."""
        kinds: dict[str, Kind] = {kind: kind for kind in KINDS}
        if self.kind not in kinds:
            near = did_you_mean(self.kind, KINDS)
            raise ConfigError(f"task.sandbox.kind={self.kind}: no such sandbox.{near} Allowed: {listed(KINDS)}.")
        return Sandbox(kinds[self.kind], image=self.image)

    def keys(self) -> dict[str, object]:
        """What verdicts depend on; how many run at a time is not among it."""
        return {key: value for key, value in asdict(self).items() if key != "workers"}


@dataclass
class Grader:
    """Grades programs of known problems, the same program once only."""

    problems: Mapping[str, Problem]
    config: SandboxConfig
    known: dict[tuple[str, str], Verdict] = field(default_factory=dict)

    def __call__(self, programs: Sequence[Program], folder: Path | None = None) -> list[Verdict]:
        """The verdict on each program, in order.

        Args:
            programs: those of unknown problems are an error.
            folder: verdicts are kept there while they are made, so that an interrupted grading goes on.

        Raises:
            ConfigError: a limit or the kind of sandbox cannot be used.
            DependencyError: the sandbox does not work here; then nothing is run.
        """
        new = list(dict.fromkeys(program for program in programs if _key(program) not in self.known))
        shards = [new[start : start + SHARD] for start in range(0, len(new), SHARD)]
        with progress("grading", len(new), "programs") as bar:
            missing = []
            for shard in shards:
                path = None if folder is None else folder / f"{self._name(shard)}.parquet"
                kept = None if path is None else kept_rows(path, VERDICTS)
                if kept is None:
                    missing.append((shard, path))
                else:
                    self._know(shard, [Verdict(**row) for row in kept])
                    bar.advance(len(shard))
            # All of them in one go: at the end of one, workers would wait for its last program.
            with closing(self._graded([program for shard, _ in missing for program in shard])) as verdicts:
                for shard, path in missing:
                    made = []
                    for verdict in islice(verdicts, len(shard)):
                        made.append(verdict)
                        bar.advance()
                    if path is not None:
                        keep(path, VERDICTS, made)
                    self._know(shard, made)
        return [self.known[_key(program)] for program in programs]

    def _know(self, shard: Sequence[Program], verdicts: Sequence[Verdict]) -> None:
        self.known.update(zip(map(_key, shard), verdicts, strict=True))

    def _graded(self, programs: Sequence[Program]) -> Generator[Verdict, None, None]:
        workers = self.config.workers or os.cpu_count() or 1
        limits, sandbox = self.config.limits(), self.config.sandbox()
        return grade(programs, self.problems, workers=workers, limits=limits, sandbox=sandbox)

    def _name(self, shard: Sequence[Program]) -> str:
        texts = [[self.problems[program.identity].key(), program.code] for program in shard]
        return hashlib.sha256(json.dumps([texts, self.config.keys()]).encode()).hexdigest()[:16]


def _key(program: Program) -> tuple[str, str]:
    return program.identity, program.code
