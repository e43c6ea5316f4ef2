"""What programs are worth: verdicts of the tests, then the speed of what passes them all."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.data.artifacts import resolve
from gcsl_cli.data.input_files import Faults
from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code.grades import Grades
from gcsl_cli.tasks.code.problem_files import read_scaling
from gcsl_cli.tasks.code.records import CodeProblem
from gcsl_cli.tasks.code.sandbox.grader import Program, Verdict
from gcsl_cli.tasks.code.sources import distinct, given, references
from gcsl_cli.tasks.code.speed import SpeedConfig, Stopwatch
from gcsl_cli.tasks.code.verdicts import Grader, SandboxConfig

VERDICTS, TIMES = "verdicts", "speed"

Floats = NDArray[np.float64]


@dataclass
class Judge:
    """Grades programs of known problems, the same program once only."""

    problems: Sequence[CodeProblem]
    sandbox: SandboxConfig
    speed: SpeedConfig = field(default_factory=SpeedConfig)
    solutions: Path | None = None
    """A file of other people's solutions: those that pass are what speed is compared with, beside the references."""
    most: float = np.inf
    """Solutions of the file a problem."""
    faults: Faults = field(default_factory=Faults)
    """Takes inputs that cannot be used, and problems that cannot be timed."""

    def __call__(self, programs: Sequence[Program], folder: Path | None = None) -> Grades:
        """The grades of the programs.

        Args:
            programs: of any of the problems.
            folder: verdicts and times are kept there while they are made, so that an interrupted grading goes on.

        Raises:
            DataError: the file of inputs or of solutions cannot be used.
            DependencyError: the sandbox does not work here; then nothing is run.
        """
        verdicts = self.verdicts(programs, folder)
        return Grades.of(verdicts, self._faster(programs, verdicts, folder))

    def verdicts(self, programs: Sequence[Program], folder: Path | None = None) -> list[Verdict]:
        """What the tests say, without speed; for the rest see a call."""
        return self._grader(programs, None if folder is None else folder / VERDICTS)

    def check(self) -> None:
        """Refuse inputs of other problems.

        Raises:
            ConfigError: no problem has inputs.
            DataError: the file of inputs cannot be used.
        """
        if self.speed.inputs is not None and not any(one.scaling for one in self._stopwatch.problems.values()):
            raise ConfigError(
                f"task.speed.inputs={self.speed.inputs}: no task_id in it is one of task.problems. Give the inputs of "
                "these problems, or null: speed is no part of the score then."
            )

    def _faster(self, programs: Sequence[Program], verdicts: Sequence[Verdict], folder: Path | None) -> Floats:
        """Than which share of the known correct solutions each program is; NaN where a test fails."""
        found = np.full(len(programs), np.nan)
        if self.speed.inputs is not None:
            passing = [place for place, verdict in enumerate(verdicts) if verdict.solved]
            timed = [programs[place] for place in passing]
            known = self._known({program.identity for program in timed}, folder)
            found[passing] = self._stopwatch.percentiles(timed, known, None if folder is None else folder / TIMES)
        return found

    def _known(self, identities: set[str], folder: Path | None) -> list[Program]:
        """Correct programs of others for these problems."""
        attempts = references([problem for problem in self.problems if problem.identity in identities])
        if self.solutions is not None:
            attempts += given(self.solutions, self.problems, identities, self.most, Faults())
        programs = [made.program for made in distinct(attempts)]
        return [one for one, verdict in zip(programs, self.verdicts(programs, folder), strict=True) if verdict.solved]

    @cached_property
    def _grader(self) -> Grader:
        return Grader({problem.identity: problem.graded_by() for problem in self.problems}, self.sandbox)

    @cached_property
    def _stopwatch(self) -> Stopwatch:
        assert self.speed.inputs is not None
        scaling, faults = read_scaling(resolve(self.speed.inputs, sha256=self.speed.inputs_sha256))
        self.faults.extend(faults)
        problems = {one.identity: replace(one, scaling=scaling.get(one.identity)) for one in self.problems}
        return Stopwatch(problems, self.speed, self.sandbox.sandbox(), self.faults)
