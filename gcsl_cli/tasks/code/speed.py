"""How fast programs that pass all tests are, beside the known correct solutions of their problem.

A row of a shard (`speed/9f2c0a1b7d3e4f56.parquet`; `Timing` of one program):
    {"relative": 3.1, "reason": ""}
A shard has one problem's programs and is named by everything that their times depend on but the machine.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gcsl_cli.data.artifacts import content
from gcsl_cli.data.input_files import Fault, Faults
from gcsl_cli.errors import ConfigError
from gcsl_cli.runs.progress import progress
from gcsl_cli.tasks.code.efficiency import TIMING_LIMITS, Timing, percentile, relative_times
from gcsl_cli.tasks.code.records import CodeProblem
from gcsl_cli.tasks.code.sandbox.engine import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Program
from gcsl_cli.tasks.code.shards import keep, kept_rows

TIMINGS = pa.schema([("relative", pa.float64()), ("reason", pa.string())])

Floats = NDArray[np.float64]


@dataclass
class SpeedConfig:
    """How programs are timed; without inputs they are not, and speed is no part of the score."""

    inputs: str | None = None
    inputs_sha256: str | None = None
    repeats: int = 5
    cases: int = 2
    cpu_seconds: float = TIMING_LIMITS.cpu_seconds
    workers: int = 1

    def check(self, kind: str) -> None:
        """Refuse what cannot be used in a sandbox of this kind.

        Raises:
            ConfigError: a number is out of its range, or the sandbox does not tell times.
        """
        for name in ("repeats", "cases", "cpu_seconds", "workers"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"task.speed.{name}={getattr(self, name)}: must be above 0.")
        if self.inputs is not None and kind == "docker":
            raise ConfigError(
                "task.sandbox.kind=docker does not tell processor time; allowed with task.speed.inputs: bubblewrap, "
                "rlimit."
            )

    def keys(self) -> dict[str, object]:
        """What times depend on."""
        return asdict(self) | {"inputs": content(self.inputs)}


@dataclass
class Stopwatch:
    """Times programs, the same one once only, beside the reference of their problem's inputs."""

    problems: Mapping[str, CodeProblem]
    """By identity; those without inputs of growing size are not timed."""
    config: SpeedConfig
    sandbox: Sandbox
    faults: Faults = field(default_factory=Faults)
    """Takes problems that cannot be timed."""
    times: dict[Program, Timing] = field(default_factory=dict)

    def __call__(self, programs: Sequence[Program], folder: Path | None = None) -> list[Timing]:
        """The time of each program, in order.

        Args:
            programs: those that pass all tests; others are not worth the time.
            folder: times are kept there by problem while they are made, so that an interrupted timing goes on.

        Raises:
            DependencyError: the sandbox does not work here; then nothing is run.
        """
        new: dict[str, list[Program]] = {}
        for program in dict.fromkeys(programs):
            if program not in self.times:
                new.setdefault(program.identity, []).append(program)
        with progress("timing", sum(map(len, new.values())), "programs") as bar:
            for group in new.values():
                found = self._group(group, folder)
                if math.isnan(found[0].relative) and group[0].identity not in {one.identity for one in self.times}:
                    self.faults.add(Fault(f"a problem that is not timed ({found[0].reason})"), group[0].identity)
                self.times |= zip(group, found, strict=True)
                bar.advance(len(group))
        return [self.times[program] for program in programs]

    def percentiles(self, programs: Sequence[Program], known: Iterable[Program], folder: Path | None = None) -> Floats:
        """The share of a problem's known correct solutions that each program is faster than, `(programs,)`.

        Ties count half; the reference of the inputs is one of the known solutions. NaN where a problem is not timed.

        Args:
            programs: those that pass all tests.
            known: correct solutions of any problem.
            folder: as for a call.
        """
        asked = {program.identity for program in programs}
        known = [program for program in known if program.identity in asked]
        found = self([*programs, *known], folder)
        beside = {identity: [1.0] for identity in asked}
        for program, timing in zip(known, found[len(programs) :], strict=True):
            beside[program.identity].append(timing.relative)
        shares = [
            percentile(timing.relative, np.array(beside[program.identity]))
            for program, timing in zip(programs, found, strict=False)
        ]
        return np.array(shares, dtype=np.float64)

    def _group(self, group: Sequence[Program], folder: Path | None) -> list[Timing]:
        problem = self.problems[group[0].identity]
        path = None if folder is None else folder / f"{self._name(problem, group)}.parquet"
        if path is not None and (kept := kept_rows(path, TIMINGS)) is not None:
            return [Timing(**row) for row in kept]
        found = relative_times(
            group,
            {problem.identity: problem},
            workers=self.config.workers,
            repeats=self.config.repeats,
            cases=self.config.cases,
            limits=replace(TIMING_LIMITS, cpu_seconds=self.config.cpu_seconds),
            sandbox=self.sandbox,
        )
        if path is not None:
            keep(path, TIMINGS, found)
        return found

    def _name(self, problem: CodeProblem, group: Sequence[Program]) -> str:
        scaling = None if problem.scaling is None else asdict(problem.scaling)
        depends = [scaling, problem.entry_point, [program.code for program in group], self.config.keys()]
        return hashlib.sha256(json.dumps([*depends, self.sandbox.kind]).encode()).hexdigest()[:16]
