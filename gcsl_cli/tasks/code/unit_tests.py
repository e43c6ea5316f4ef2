"""Run many programs against their unit tests: each distinct program once, with verdicts cached in shards.

A row of a shard (`verdicts/9f2c0a1b7d3e4f56.parquet`):
    {"passed": 5, "tests": 7, "error": "wrong answer", "message": "", "test": 2, "cpu_seconds": 0.03,
     "wall_seconds": 0.05, "together": false, "exception": "", "why": ""}
A shard's name is a hash of everything that its verdicts depend on: programs, tests, limits and kind of sandbox.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa

from gcsl_cli.data.records import read_cached
from gcsl_cli.errors import ConfigError, did_you_mean, listed
from gcsl_cli.runs.progress import progress
from gcsl_cli.tasks.code.result_cache import cache_path, save_results
from gcsl_cli.tasks.code.sandbox.backends import KINDS, Kind, Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict, grade
from gcsl_cli.tasks.code.sandbox.limits import MEBIBYTE, Limits

SHARD = 512
"""Programs per shard; an interruption loses at most this many verdicts."""
VERDICTS = pa.schema(
    {
        "passed": pa.int32(),
        "tests": pa.int32(),
        "error": pa.string(),
        "message": pa.string(),
        "test": pa.int32(),
        "cpu_seconds": pa.float64(),
        "wall_seconds": pa.float64(),
        "together": pa.bool_(),
        "exception": pa.string(),
        "why": pa.string(),
    }
)


@dataclass
class SandboxConfig:
    """Kind of sandbox and the limits of each program."""

    kind: str = "bubblewrap"
    cpu_seconds: float = 3.0
    wall_seconds: float = 10.0
    memory_mib: int = 512
    output_mib: int = 8
    workers: int | None = None
    image: str = "python:3.11-slim"

    def check(self, owner: str = "task") -> None:
        """Raise `ConfigError` if a limit is too low or the kind is unknown; `owner` is the node of the config."""
        self.limits()
        self.sandbox(owner)
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"{owner}.sandbox.workers={self.workers}: must be at least 1, or null for one per core.")

    def limits(self) -> Limits:
        """The limits in the grader's form."""
        memory, output = self.memory_mib * MEBIBYTE, self.output_mib * MEBIBYTE
        return Limits(self.cpu_seconds, self.wall_seconds, memory, output_bytes=output)

    def sandbox(self, owner: str = "task") -> Sandbox:
        """The sandbox in the grader's form."""
        kinds: dict[str, Kind] = {kind: kind for kind in KINDS}
        if self.kind not in kinds:
            near = did_you_mean(self.kind, KINDS)
            raise ConfigError(f"{owner}.sandbox.kind={self.kind}: no such sandbox.{near} Allowed: {listed(KINDS)}.")
        return Sandbox(kinds[self.kind], image=self.image)

    def keys(self) -> dict[str, object]:
        """Settings that verdicts depend on; the number of workers is not one of them."""
        return {key: value for key, value in asdict(self).items() if key != "workers"}


@dataclass
class UnitTestGrader:
    """Grades programs of known problems; each distinct program is run once."""

    problems: Mapping[str, Problem]
    config: SandboxConfig
    known: dict[Program, Verdict] = field(default_factory=dict)

    def __call__(self, programs: Sequence[Program], folder: Path | None = None) -> list[Verdict]:
        """Return the verdict on each program, in order; `folder` caches them, so that interrupted grading resumes.

        Raises:
            ConfigError: A setting is invalid.
            DependencyError: The sandbox does not work here; no program was run.
        """
        new = [program for program in dict.fromkeys(programs) if program not in self.known]
        shards = [new[start : start + SHARD] for start in range(0, len(new), SHARD)]
        with progress("grading", len(new), "programs") as bar:
            missing = []
            for shard in shards:
                path = self._path(folder, shard)
                cached = read_cached(path, VERDICTS)
                if cached is None:
                    missing.append((shard, path))
                else:
                    self.known |= zip(shard, [Verdict(**row) for row in cached], strict=True)
                    bar.advance(len(shard))
            # A single call for all shards: otherwise workers would idle at the end of each one.
            programs_left = [program for shard, _ in missing for program in shard]
            workers = self.config.workers or os.cpu_count() or 1
            limits, sandbox = self.config.limits(), self.config.sandbox()
            grading = grade(programs_left, self.problems, workers=workers, limits=limits, sandbox=sandbox)
            with closing(grading) as verdicts:
                for shard, path in missing:
                    graded = []
                    for verdict in islice(verdicts, len(shard)):
                        graded.append(verdict)
                        bar.advance()
                    save_results(path, VERDICTS, graded)
                    self.known |= zip(shard, graded, strict=True)
        return [self.known[program] for program in programs]

    def _path(self, folder: Path | None, shard: Sequence[Program]) -> Path | None:
        if folder is None:
            return None
        texts = [[self.problems[program.identity].key(), program.code] for program in shard]
        return cache_path(folder, [texts, self.config.keys(), VERDICTS.names])
