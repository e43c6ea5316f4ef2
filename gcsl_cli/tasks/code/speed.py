"""Rank the speed of correct programs among the known correct solutions of their problem.

A row of a cached file (`speed/9f2c0a1b7d3e4f56.parquet`), the `Timing` of one program:
    {"relative": 3.1, "reason": ""}
A file holds programs of one problem. Its name is a hash of everything that their times depend on except the machine.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.artifacts import content
from gcsl_cli.data.input_files import Fault, Faults
from gcsl_cli.data.records import read_cached
from gcsl_cli.errors import ConfigError
from gcsl_cli.runs.progress import progress
from gcsl_cli.tasks.code.problems import CodeProblem
from gcsl_cli.tasks.code.result_cache import cache_path, save_results
from gcsl_cli.tasks.code.sandbox.backends import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Program
from gcsl_cli.tasks.code.timing import TIMING_LIMITS, Timing, relative_times

TIMINGS = pa.schema([("relative", pa.float64()), ("reason", pa.string())])
# Relative times within this factor of each other are ties: on two busy cores, relative times over five rounds had a
# median absolute deviation of 10 %.
TIE = 1.1


@dataclass
class SpeedConfig:
    """Timing settings. Without `inputs`, programs are not timed and speed is not part of the score."""

    inputs: str | None = None
    inputs_sha256: str | None = None
    repeats: int = 5
    cases: int = 2
    cpu_seconds: float = TIMING_LIMITS.cpu_seconds
    workers: int = 1

    def check(self, kind: str) -> None:
        """Raise `ConfigError` if a number is out of range or this kind of sandbox does not report CPU time."""
        for name in ("repeats", "cases", "cpu_seconds", "workers"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"task.speed.{name}={getattr(self, name)}: must be above 0.")
        if self.inputs is not None and kind == "docker":
            raise ConfigError(
                "task.sandbox.kind=docker does not report CPU time; allowed with task.speed.inputs: bubblewrap, rlimit."
            )

    def keys(self) -> dict[str, object]:
        """Settings that times depend on."""
        return asdict(self) | {"inputs": content(self.inputs)}


@dataclass
class SpeedGrader:
    """Times programs relative to the reference of their problem's inputs; each distinct program is timed once."""

    problems: Mapping[str, CodeProblem]
    """Problems by identity. Those without inputs of growing size are not timed."""
    config: SpeedConfig
    sandbox: Sandbox
    faults: Faults = field(default_factory=Faults)
    """Collects problems that cannot be timed."""
    times: dict[Program, Timing] = field(default_factory=dict)

    def __call__(self, programs: Sequence[Program], folder: Path | None = None) -> list[Timing]:
        """Return the time of each program, in order. Programs that fail a test are not worth timing.

        `folder` caches times, so that interrupted timing resumes with the next problem.

        Raises:
            DependencyError: The sandbox does not work here; no program was run.
        """
        new: dict[str, list[Program]] = {}
        for program in dict.fromkeys(programs):
            if program not in self.times:
                new.setdefault(program.identity, []).append(program)
        with progress("timing", sum(map(len, new.values())), "programs") as bar:
            for group in new.values():
                timings = self._time(group, folder)
                if math.isnan(timings[0].relative) and group[0].identity not in {one.identity for one in self.times}:
                    self.faults.add(Fault(f"a problem that is not timed ({timings[0].reason})"), group[0].identity)
                self.times |= zip(group, timings, strict=True)
                bar.advance(len(group))
        return [self.times[program] for program in programs]

    def percentiles(self, programs: Sequence[Program], known: Iterable[Program], folder: Path | None = None) -> Floats:
        """Share of the problem's known correct solutions that each program is faster than, `(programs,)`.

        The programs pass all tests; `known` are correct solutions of any problem, and the reference of the inputs is
        one of them. NaN for problems that are not timed. `folder` is as in `__call__`.
        """
        peers = {program.identity: [1.0] for program in programs}
        known = [program for program in known if program.identity in peers]
        timings = self([*programs, *known], folder)
        for program, timing in zip(known, timings[len(programs) :], strict=True):
            peers[program.identity].append(timing.relative)
        pairs = zip(programs, timings, strict=False)
        return np.array([percentile(time.relative, np.array(peers[program.identity])) for program, time in pairs])

    def _time(self, group: Sequence[Program], folder: Path | None) -> list[Timing]:
        """Time programs of one problem, or load their cached times."""
        problem = self.problems[group[0].identity]
        scaling = None if problem.scaling is None else asdict(problem.scaling)
        keys = [scaling, problem.entry_point, [program.code for program in group], self.config.keys()]
        path = cache_path(folder, [*keys, self.sandbox.kind])
        if (cached := read_cached(path, TIMINGS)) is not None:
            return [Timing(**row) for row in cached]
        timings = relative_times(
            group,
            {problem.identity: problem},
            workers=self.config.workers,
            repeats=self.config.repeats,
            cases=self.config.cases,
            limits=replace(TIMING_LIMITS, cpu_seconds=self.config.cpu_seconds),
            sandbox=self.sandbox,
        )
        save_results(path, TIMINGS, timings)
        return timings


def percentile(relative: float, known: Floats) -> float:
    """Share of `known` relative times, `(solutions,)`, that are slower than this one, from 0 to 1.

    Times within a factor of `TIE` are ties and count half; infinite times are ties among themselves. NaN in `known` is
    ignored. The share is NaN if `relative` is, or if no other times are left.
    """
    timed = known[~np.isnan(known)]
    if math.isnan(relative) or not timed.size:
        return math.nan
    slower, faster = timed > relative * TIE, timed * TIE < relative
    return float(np.mean(np.where(slower, 1.0, np.where(faster, 0.0, 0.5))))
