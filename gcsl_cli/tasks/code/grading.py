"""Grade programs: unit tests first, then the speed of those that pass all of them.

A program's score is the share of its problem's tests that pass. If all pass and programs are timed, the share of known
correct solutions that the program is faster than is added.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.data.arrays import Bools, Floats
from gcsl_cli.data.artifacts import resolve
from gcsl_cli.data.input_files import Faults
from gcsl_cli.errors import ConfigError
from gcsl_cli.metrics.bootstrap import PerPrompt, mean_over_prompts
from gcsl_cli.metrics.pass_at_k import pass_at_k
from gcsl_cli.tasks.code.problem_files import read_scaling
from gcsl_cli.tasks.code.problems import CodeProblem
from gcsl_cli.tasks.code.sandbox.grader import Program, Verdict
from gcsl_cli.tasks.code.solutions import distinct, from_file, from_references
from gcsl_cli.tasks.code.speed import SpeedConfig, SpeedGrader
from gcsl_cli.tasks.code.unit_tests import SandboxConfig, UnitTestGrader

VERDICTS, TIMES = "verdicts", "speed"
TRIES = (1, 5, 10)
ERRORS = {"wrong answer": "wrong", "syntax": "syntax", "timeout": "timeout", "": "none"}
"""Errors that are counted separately; all others (exceptions and other limits) count as `raised`."""


@dataclass(frozen=True)
class Grades:
    """Results of graded programs; all arrays are `(programs,)`."""

    shares: Floats
    """Share of tests passed."""
    solved: Bools
    errors: NDArray[np.str_]
    """Kind of the first error."""
    together: Bools
    """Whether the program could have forged its verdict (see `Verdict.together`)."""
    faster: Floats
    """Share of known correct solutions that the program is faster than; NaN if it fails a test or was not timed."""

    @staticmethod
    def of(verdicts: Sequence[Verdict], faster: Floats | None = None) -> "Grades":
        """Combine verdicts with speed percentiles, if there are any."""
        return Grades(
            np.array([verdict.passed / max(verdict.tests, 1) for verdict in verdicts], dtype=np.float64),
            np.array([verdict.solved for verdict in verdicts], dtype=np.bool_),
            np.array([ERRORS.get(verdict.error, "raised") for verdict in verdicts], dtype=np.str_),
            np.array([verdict.together for verdict in verdicts], dtype=np.bool_),
            np.full(len(verdicts), np.nan) if faster is None else faster,
        )

    @property
    def scores(self) -> Floats:
        """Scores from 0 to 1, or to 2 if programs are timed; problems that cannot be timed add nothing."""
        return self.shares + np.nan_to_num(self.faster)

    def metrics(self, problems: int) -> dict[str, PerPrompt]:
        """pass@k, tests passed, error rates and speed; expects an equal number of programs per problem, in order."""
        shape = (problems, -1)
        found = {f"pass_{k}": pass_at_k(self.solved.reshape(shape), k) for k in TRIES}
        found["pass_1_forgeable"] = pass_at_k((self.solved & self.together).reshape(shape), 1)
        found["tests_passed"] = mean_over_prompts(self.shares.reshape(shape).mean(axis=1))
        found["faster"] = mean_over_prompts(_mean_of_known(self.faster.reshape(shape)))
        for error in ("wrong", "raised", "syntax", "timeout"):
            found[f"error_{error}"] = mean_over_prompts((self.errors == error).reshape(shape).mean(axis=1))
        return found


def _mean_of_known(values: Floats) -> Floats:
    """Mean of each row, ignoring NaN; NaN if a row has nothing else."""
    counts = (~np.isnan(values)).sum(axis=1)
    return np.where(counts > 0, np.nansum(values, axis=1) / np.maximum(counts, 1), np.nan)


@dataclass
class ProgramGrader:
    """Grades programs of known problems; each distinct program is run once."""

    problems: Sequence[CodeProblem]
    sandbox: SandboxConfig
    speed: SpeedConfig = field(default_factory=SpeedConfig)
    solutions: Path | None = None
    """File of solutions. Speed is compared with those that pass, and with the references."""
    per_problem: float = np.inf
    """Maximum number of solutions per problem to use from the file."""
    faults: Faults = field(default_factory=Faults)
    """Collects unusable inputs and problems that cannot be timed."""

    def __call__(self, programs: Sequence[Program], folder: Path | None = None) -> Grades:
        """Grade programs of the known problems; `folder` caches verdicts and times, so that interrupted work resumes.

        Raises:
            DataError: The file of inputs or of solutions cannot be used.
            DependencyError: The sandbox does not work here; no program was run.
        """
        verdicts = self.verdicts(programs, folder)
        return Grades.of(verdicts, self._faster(programs, verdicts, folder))

    def verdicts(self, programs: Sequence[Program], folder: Path | None = None) -> list[Verdict]:
        """Run the tests only; see `__call__`."""
        return self._unit_tests(programs, None if folder is None else folder / VERDICTS)

    def check(self) -> None:
        """Raise `ConfigError` if no problem has inputs to time it on, `DataError` if their file cannot be used."""
        if self.speed.inputs is not None and not any(one.scaling for one in self._speed.problems.values()):
            raise ConfigError(
                f"task.speed.inputs={self.speed.inputs}: none of its task_id values is in task.problems. Give the "
                "inputs of these problems, or null to leave speed out of the score."
            )

    def _faster(self, programs: Sequence[Program], verdicts: Sequence[Verdict], folder: Path | None) -> Floats:
        """Share of known correct solutions that each program is faster than; NaN if it fails a test."""
        found = np.full(len(programs), np.nan)
        if self.speed.inputs is not None:
            passing = [place for place, verdict in enumerate(verdicts) if verdict.solved]
            timed = [programs[place] for place in passing]
            known = self._known_correct({program.identity for program in timed}, folder)
            found[passing] = self._speed.percentiles(timed, known, None if folder is None else folder / TIMES)
        return found

    def _known_correct(self, identities: set[str], folder: Path | None) -> list[Program]:
        """References and solutions from the file that pass the tests of these problems."""
        candidates = from_references([problem for problem in self.problems if problem.identity in identities])
        if self.solutions is not None:
            candidates += from_file(self.solutions, self.problems, identities, self.per_problem, Faults())
        programs = [candidate.program for candidate in distinct(candidates)]
        return [one for one, verdict in zip(programs, self.verdicts(programs, folder), strict=True) if verdict.solved]

    @cached_property
    def _unit_tests(self) -> UnitTestGrader:
        return UnitTestGrader({problem.identity: problem.for_grader() for problem in self.problems}, self.sandbox)

    @cached_property
    def _speed(self) -> SpeedGrader:
        assert self.speed.inputs is not None
        scaling, faults = read_scaling(resolve(self.speed.inputs, sha256=self.speed.inputs_sha256))
        self.faults.extend(faults)
        problems = {one.identity: replace(one, scaling=scaling.get(one.identity)) for one in self.problems}
        return SpeedGrader(problems, self.speed, self.sandbox.sandbox(), self.faults)
