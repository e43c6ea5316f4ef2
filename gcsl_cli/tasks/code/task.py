r"""Code generation: programs for problems with unit tests, graded by running them in a sandbox.

A feedback row:
    {"prompt": "def add(a, b):\n    \"\"\"The sum.\"\"\"", "completion": "\n    return a + b\n", "score": 1.0,
     "split": "train", ...}
The score is the share of the problem's tests that pass; with `task.speed.inputs`, programs that pass all have up to 1
more for their speed.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.data.artifacts import content, resolve
from gcsl_cli.data.input_files import Fault, Faults
from gcsl_cli.data.records import FeedbackRow, FeedbackRows, Prompt
from gcsl_cli.data.splits import SplitConfig
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.tasks.base import Column, Rollouts, RolloutSettings
from gcsl_cli.tasks.code.grades import TRIES
from gcsl_cli.tasks.code.judge import Judge
from gcsl_cli.tasks.code.pool import Pool
from gcsl_cli.tasks.code.problem_files import read_problems
from gcsl_cli.tasks.code.records import CodeProblem
from gcsl_cli.tasks.code.sandbox.grader import Program
from gcsl_cli.tasks.code.sandbox.probe import require
from gcsl_cli.tasks.code.sources import Attempt, attempt, distinct, given, references, sampled
from gcsl_cli.tasks.code.speed import SpeedConfig
from gcsl_cli.tasks.code.verdicts import SandboxConfig

log = logging.getLogger("gcsl")

Floats = NDArray[np.float64]


@dataclass
class FeedbackConfig:
    """Where the graded programs come from; all sources are mixed."""

    samples: int = 4
    max_new_tokens: int = 256
    temperature: float = 0.8
    top_p: float = 0.95
    batch_size: int = 64
    shard_prompts: int = 16
    seed: int = 0
    prompts: int | None = None
    solutions: str | None = None
    per_problem: int | None = None
    references: bool = True


@dataclass
class CodeTask:
    """Problems, graded programs, the sandbox and pass@k."""

    name: str = "code"
    version: int = 1
    problems: str = "???"
    problems_sha256: str | None = None
    test_problems: str | None = None
    test_problems_sha256: str | None = None
    stricter: str | None = None
    allow_overlap: bool = False
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    speed: SpeedConfig = field(default_factory=SpeedConfig)
    format: str = "plain"
    instruction: str = "{prompt}"
    sentences: list[str] = field(default_factory=list)
    templates: dict[str, str] = field(default_factory=dict)
    levels: list[float] = field(default_factory=list)

    @property
    def scorer(self) -> str:
        """Unit tests grade any program of the task's problems."""
        return "unit tests"

    def prompt_format(self) -> str:
        """As configured."""
        return self.format

    def grade_scale(self, feedback: FeedbackRows) -> Scale:  # noqa: ARG002
        """From no test passed to all, or to all faster than every known solution."""
        if self.speed.inputs is None:
            return Scale("share of tests passed", 0.0, 1.0, closed=True)
        return Scale("share of tests passed, and of solutions outrun", 0.0, 2.0, closed=True)

    def overview(self) -> list[list[str]]:
        """Problems by split, and what was left out."""
        lines = [*self._pool.faults.lines(), *self._left_out.lines()]
        return [["problems", self._pool.told()], *[["left out", line] for line in lines]]

    def feedback_name(self) -> str:
        """The sources, in a word."""
        feedback = self.feedback
        file = Path(feedback.solutions).name.partition(".")[0].lower() if feedback.solutions else ""
        return "-".join(part for part in ("rollouts" if feedback.samples else "", file) if part) or "references"

    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Problems, solutions and how they are graded; the model's where it is sampled."""
        keys = {
            "version": self.version,
            "format": self.format,
            "problems": content(self.problems),
            "test_problems": content(self.test_problems),
            "allow_overlap": self.allow_overlap,
            "feedback": asdict(self.feedback) | {"solutions": content(self.feedback.solutions)},
            "split": asdict(self.split),
            "sandbox": self.sandbox.keys(),
            "speed": self.speed.keys(),
        }
        return keys | ({"model": dict(model), "instruction": self.instruction} if self.feedback.samples else {})

    def evaluation_keys(self) -> dict[str, Any]:
        """How programs are graded; speed depends on the solutions that are known."""
        return {
            "version": self.version,
            "sandbox": self.sandbox.keys(),
            "stricter": content(self.stricter),
            "speed": self.speed.keys(),
            "known": [content(self.feedback.solutions), self.feedback.per_problem],
        }

    def evaluation_prompts(self, feedback: FeedbackRows) -> list[Prompt]:  # noqa: ARG002
        """The problems of the test split."""
        return self._pool.prompts("test")

    def rollouts_planned(self) -> int:
        """Problems times samples.

        Raises:
            ConfigError: a setting is out of range, there is no source, problems for training are evaluated too, or
                stricter tests lack evaluated problems, or inputs to time programs on belong to others.
            DataError: a file of problems cannot be used.
        """
        feedback = self.feedback
        self.sandbox.check()
        self.speed.check(self.sandbox.kind)
        if self.speed.inputs is None and max(self.levels, default=0.0) > 1:
            raise ConfigError(
                f"task.levels={self.levels}: what is above 1 grades speed. Give task.speed.inputs=FILE, inputs of "
                "growing size to time programs on, or levels up to 1."
            )
        if feedback.per_problem is not None and feedback.per_problem < 1:
            raise ConfigError(f"task.feedback.per_problem={feedback.per_problem}: must be at least 1, or null for all.")
        if not (feedback.samples or feedback.solutions or feedback.references):
            raise ConfigError(
                "There is no source of graded programs: give task.feedback.samples (rollouts), task.feedback.solutions "
                "(a file) or task.feedback.references=true."
            )
        if feedback.samples:
            RolloutSettings.of(feedback)
        if self.stricter is not None:
            self._check_stricter()
        self._judge.check()
        return len(self._rollout_prompts()) * feedback.samples

    def graded_rows(self, rollouts: Rollouts, folder: Path | None) -> FeedbackRows:
        """Graded programs of the problems for training and validation, each distinct one of a problem once.

        Raises:
            ConfigError: a setting cannot be used.
            DataError: a file cannot be used, or nothing is left.
            DependencyError: there is no sandbox; then nothing is sampled and nothing is run.
        """
        self.rollouts_planned()
        require(self.sandbox.sandbox())
        attempts = distinct(self._attempts(rollouts, self._sound(folder)))
        grades = self._judge([made.program for made in attempts], folder)
        for label, text in self.overview():
            log.info("%s: %s", label, text)
        told = "%d distinct programs, %d solve their problem; %d were graded in one process with their tests"
        log.info(told, len(attempts), grades.solved.sum(), grades.together.sum())
        pool, ids = self._pool, self._ids
        return FeedbackRows.of(
            FeedbackRow(problem.prompt, self._answer(made), score, id_, pool.splits[id_], made.ended, made.source)
            for made, score in zip(attempts, grades.scores.tolist(), strict=True)
            for problem, id_ in [(made.problem, ids[made.problem.identity])]
        )

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Floats:
        """The share of tests passed, and the speed of what passes all."""
        return self._judge(self._programs(prompts, completions)).scores

    def metrics(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]) -> dict[str, PerPrompt]:
        """pass@k, tests passed, speed, and the share of programs that end with each kind of error."""
        each = [prompt for prompt, samples in zip(prompts, completions, strict=True) for _ in samples]
        programs = self._programs(each, [text for samples in completions for text in samples])
        found = self._judge(programs).metrics(len(prompts))
        if self.stricter is not None:
            found["pass_1_stricter"] = self._stricter_judge(programs).metrics(len(prompts))["pass_1"]
        return found

    def result_columns(self) -> list[Column]:
        """pass@1 first."""
        errors = {"wrong": "wrong answer", "raised": "raises", "syntax": "no Python", "timeout": "timeout"}
        more = [] if self.stricter is None else [Column("pass_1_stricter", "pass@1, more tests", "higher")]
        timed = [] if self.speed.inputs is None else [Column("faster", "speed percentile", "higher")]
        return [
            *[Column(f"pass_{k}", f"pass@{k}", "higher", detail=k == 5) for k in TRIES],
            *more,
            Column("tests_passed", "tests passed", "higher"),
            *timed,
            *[Column(f"error_{error}", label, "lower", detail=True) for error, label in errors.items()],
        ]

    def _check_stricter(self) -> None:
        known = {problem.identity for problem in self._stricter_judge.problems}
        missing = [one.identity for one in self._pool.of_split("test") if one.identity not in known]
        if missing:
            raise ConfigError(
                f"task.stricter={self.stricter}: {len(missing)} evaluated problems are not in it (the first: "
                f"{missing[0]}). Give a file that has tests for all of them under their task_id, or null."
            )

    def _attempts(self, rollouts: Rollouts, problems: Sequence[CodeProblem]) -> list[Attempt]:
        feedback, chosen = self.feedback, {problem.identity for problem in problems}
        found = references(problems) if feedback.references else []
        if feedback.solutions is not None:
            path, every = resolve(feedback.solutions), list(self._pool.problems.values())
            found += given(path, every, chosen, feedback.per_problem or np.inf, self._left_out)
        if feedback.samples:
            by_id = {id_: found for id_, found in self._pool.problems.items() if found.identity in chosen}
            prompts = [prompt for prompt in self._rollout_prompts() if prompt.prompt_id in by_id]
            found += sampled(rollouts(prompts, RolloutSettings.of(self.feedback)), by_id, self._left_out)
        if not found:
            raise DataError("No program is left to be graded. Give other sources (task.feedback).")
        return found

    def _sound(self, folder: Path | None) -> list[CodeProblem]:
        """Problems that are not evaluated, without those whose own solution fails their tests."""
        own = references(self._pool.of_split("train", "validation", "test"))
        verdicts = self._judge.verdicts([made.program for made in own], folder)
        failing = {made.problem.identity: one.error for made, one in zip(own, verdicts, strict=True) if not one.solved}
        tests = {problem.identity for problem in self._pool.of_split("test")}
        for identity, error in failing.items():
            kept = ", but which is evaluated" if identity in tests else ""
            self._left_out.add(Fault(f"a problem whose own solution fails its tests ({error}){kept}"), identity)
        return [problem for problem in self._pool.of_split("train", "validation") if problem.identity not in failing]

    def _answer(self, made: Attempt) -> str:
        """What the model is to write: the rest of the program, or in a chat all of it as a block."""
        return made.completion if self.format == "plain" else f"```python\n{made.code.strip()}\n```"

    def _programs(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Program]:
        problems = self._pool.problems
        return [
            attempt(problems[prompt.prompt_id], text, "", ended=True).program
            for prompt, text in zip(prompts, completions, strict=True)
        ]

    def _rollout_prompts(self) -> list[Prompt]:
        return self._pool.prompts("train", "validation")[: self.feedback.prompts] if self.feedback.samples else []

    @cached_property
    def _pool(self) -> Pool:
        given, faults = read_problems(resolve(self.problems, sha256=self.problems_sha256))
        tests = None
        if self.test_problems is not None:
            tests, more = read_problems(resolve(self.test_problems, sha256=self.test_problems_sha256))
            faults.extend(more)
        pool = Pool.of(given, tests, self.split, overlap=self.allow_overlap)
        pool.faults.extend(faults)
        return pool

    @cached_property
    def _left_out(self) -> Faults:
        return Faults()

    @cached_property
    def _ids(self) -> dict[str, str]:
        return {problem.identity: id_ for id_, problem in self._pool.problems.items()}

    @cached_property
    def _judge(self) -> Judge:
        file, problems = self.feedback.solutions, list(self._pool.problems.values())
        path, most = None if file is None else resolve(file), self.feedback.per_problem or np.inf
        return Judge(problems, self.sandbox, self.speed, path, most, self._left_out)

    @cached_property
    def _stricter_judge(self) -> Judge:
        """By other tests of the same problems."""
        assert self.stricter is not None
        problems, _ = read_problems(resolve(self.stricter))
        return Judge(problems, self.sandbox)
