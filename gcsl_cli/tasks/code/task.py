r"""Code generation: programs for problems with unit tests, graded by running them in a sandbox.

A feedback row:
    {"prompt": "def add(a, b):\n    \"\"\"The sum.\"\"\"", "completion": "\n    return a + b\n", "score": 1.0,
     "split": "train", ...}
The score is the share of the problem's tests that pass. With `task.speed.inputs`, programs that pass all of them earn
up to 1 more for their speed.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.artifacts import content, resolve
from gcsl_cli.data.input_files import Fault, Faults
from gcsl_cli.data.records import FeedbackRow, FeedbackRows, Prompt
from gcsl_cli.data.splits import SplitConfig
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.tasks.base import Column, Rollouts, RolloutSettings, Task
from gcsl_cli.tasks.code.grading import TRIES, ProgramGrader
from gcsl_cli.tasks.code.problem_files import read_problems
from gcsl_cli.tasks.code.problems import CodeProblem, ProblemSet
from gcsl_cli.tasks.code.sandbox.grader import Program
from gcsl_cli.tasks.code.sandbox.probe import require
from gcsl_cli.tasks.code.scores import ProgramScores
from gcsl_cli.tasks.code.solutions import Candidate, distinct, from_file, from_references, from_rollouts
from gcsl_cli.tasks.code.speed import SpeedConfig
from gcsl_cli.tasks.code.unit_tests import SandboxConfig

log = logging.getLogger("gcsl")


@dataclass
class FeedbackConfig(RolloutSettings):
    """Sources of graded programs, which are combined."""

    max_new_tokens: int = 256
    temperature: float = 0.8
    top_p: float = 0.95
    batch_size: int = 64
    shard_prompts: int = 16
    prompts: int | None = None
    solutions: str | None = None
    per_problem: int | None = None
    references: bool = True


@dataclass
class CodeTask(ProgramScores, Task):
    """Write programs that pass unit tests."""

    name: str = "code"
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
    scores: list[str] = field(default_factory=list)

    @property
    def scorer(self) -> str:
        """Unit tests, which grade any program for the task's problems."""
        return "unit tests"

    def grade_scale(self, feedback: FeedbackRows) -> Scale:  # noqa: ARG002
        """From no test passed to all, or to all and faster than every known solution."""
        if self.speed.inputs is None:
            return Scale("share of tests passed", 0.0, 1.0, closed=True)
        return Scale("share of tests passed, and of solutions outrun", 0.0, 2.0, closed=True)

    def overview(self) -> list[list[str]]:
        """Number of problems per split, what was left out, and what is graded in one process with its tests."""
        lines = [*self._problems.faults.lines(), *self._left_out.lines()]
        return [
            ["problems", self._problems.split_sizes()],
            *[["left out", line] for line in lines],
            *[["graded in one process", line] for line in self._together.lines()],
        ]

    def feedback_name(self) -> str:
        """The sources as a short name."""
        feedback = self.feedback
        file = Path(feedback.solutions).name.partition(".")[0].lower() if feedback.solutions else ""
        return "-".join(part for part in ("rollouts" if feedback.samples else "", file) if part) or "references"

    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Problems, solutions and grading settings; the model only if it is sampled."""
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
            **self.scores_key,
        }
        return keys | ({"model": dict(model), "instruction": self.instruction} if self.feedback.samples else {})

    def evaluation_keys(self) -> dict[str, Any]:
        """Grading settings; speed also depends on the known solutions."""
        return {
            "version": self.version,
            "sandbox": self.sandbox.keys(),
            "stricter": content(self.stricter),
            "speed": self.speed.keys(),
            "known": [content(self.feedback.solutions), self.feedback.per_problem],
            **self.scores_key,
        }

    def evaluation_prompts(self, feedback: FeedbackRows, split: str = "test") -> list[Prompt]:  # noqa: ARG002
        """Problems of the split."""
        return self._problems.prompts(split)

    def rollouts_planned(self) -> int:
        """Number of problems times samples per problem.

        Raises:
            ConfigError: A setting is out of range, there is no source, training and evaluation problems overlap, the
                stricter tests lack evaluated problems, or the inputs to time programs on belong to other problems.
            DataError: A file of problems cannot be used.
        """
        feedback = self.feedback
        self.sandbox.check()
        self.speed.check(self.sandbox.kind)
        if self.speed.inputs is None and max(self.levels, default=0.0) > 1:
            raise ConfigError(
                f"task.levels={self.levels}: levels above 1 grade speed, which needs inputs of growing size to time "
                "programs on. Give task.speed.inputs=FILE, or levels up to 1."
            )
        if feedback.per_problem is not None and feedback.per_problem < 1:
            raise ConfigError(f"task.feedback.per_problem={feedback.per_problem}: must be at least 1, or null for all.")
        if not (feedback.samples or feedback.solutions or feedback.references):
            raise ConfigError(
                "There is no source of graded programs. Give task.feedback.samples (rollouts), "
                "task.feedback.solutions (a file) or task.feedback.references=true."
            )
        if feedback.samples:
            RolloutSettings.of(feedback)
        if self.stricter is not None:
            self._check_stricter()
        self._grader.check()
        return len(self._rollout_prompts()) * feedback.samples

    def graded_rows(self, rollouts: Rollouts, folder: Path | None) -> FeedbackRows:
        """Grade the distinct programs of each training and validation problem.

        Raises:
            DependencyError: The sandbox does not work; nothing was sampled or run.
        """
        self.rollouts_planned()
        require(self.sandbox.sandbox())
        candidates = distinct(self._candidates(rollouts, self._valid_problems(folder)))
        grades = self._grader([candidate.program for candidate in candidates], folder)
        for label, text in self.overview():
            log.info("%s: %s", label, text)
        message = "%d distinct programs, %d solve their problem; %d of these have verdicts that a program could forge"
        log.info(message, len(candidates), grades.solved.sum(), (grades.solved & grades.together).sum())
        ids = {problem.identity: id_ for id_, problem in self._problems.problems.items()}
        splits = self._problems.splits
        rows = FeedbackRows.of(
            FeedbackRow(one.problem.prompt, self._answer(one), score, id_, splits[id_], one.ended, one.source)
            for one, score in zip(candidates, grades.scores.tolist(), strict=True)
            for id_ in [ids[one.problem.identity]]
        )
        return rows.with_scores(self.scores_of(grades))

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Floats:
        """Share of tests passed, plus the speed percentile of programs that pass all of them."""
        return self._grader(self._programs(prompts, completions)).scores

    def part_scores(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> dict[str, Floats]:
        """The share of tests passed, and the speed percentile of programs that pass all of them."""
        return self.scores_of(self._grader(self._programs(prompts, completions)))

    def metrics(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]) -> dict[str, PerPrompt]:
        """pass@k, tests passed, speed, and the rate of each kind of error."""
        each = [prompt for prompt, samples in zip(prompts, completions, strict=True) for _ in samples]
        programs = self._programs(each, [text for samples in completions for text in samples])
        found = self._grader(programs).metrics(len(prompts))
        if self.stricter is not None:
            found["pass_1_stricter"] = self._stricter_grader(programs).metrics(len(prompts))["pass_1"]
        return found

    def result_columns(self) -> list[Column]:
        """Columns of the results table, pass@1 first."""
        errors = {"wrong": "wrong answer", "raised": "exception", "syntax": "syntax error", "timeout": "timeout"}
        more = [] if self.stricter is None else [Column("pass_1_stricter", "pass@1, more tests", "higher")]
        timed = [] if self.speed.inputs is None else [Column("faster", "speed percentile", "higher")]
        return [
            *[Column(f"pass_{k}", f"pass@{k}", "higher", detail=k == 5) for k in TRIES],
            *more,
            Column("tests_passed", "tests passed", "higher"),
            Column("pass_1_forgeable", "pass@1, forgeable"),
            *timed,
            *[Column(f"error_{error}", label, "lower", detail=True) for error, label in errors.items()],
        ]

    def _check_stricter(self) -> None:
        known = {problem.identity for problem in self._stricter_grader.problems}
        missing = [one.identity for one in self._problems.of_split("test") if one.identity not in known]
        if missing:
            raise ConfigError(
                f"task.stricter={self.stricter}: {len(missing)} evaluated problems are not in it (first: "
                f"{missing[0]}). Give a file with tests for all of them, under their task_id, or null."
            )

    def _candidates(self, rollouts: Rollouts, problems: Sequence[CodeProblem]) -> list[Candidate]:
        feedback, chosen = self.feedback, {problem.identity for problem in problems}
        found = from_references(problems) if feedback.references else []
        if feedback.solutions is not None:
            path, known = resolve(feedback.solutions), list(self._problems.problems.values())
            found += from_file(path, known, chosen, feedback.per_problem or np.inf, self._left_out)
        if feedback.samples:
            by_id = {id_: one for id_, one in self._problems.problems.items() if one.identity in chosen}
            prompts = [prompt for prompt in self._rollout_prompts() if prompt.prompt_id in by_id]
            found += from_rollouts(rollouts(prompts, RolloutSettings.of(feedback)), by_id, self._left_out)
        if not found:
            listing = "".join(f"\n  {line}" for line in self._left_out.lines())
            raise DataError(f"No program is left to grade. Give other sources (task.feedback).{listing}")
        return found

    def _valid_problems(self, folder: Path | None) -> list[CodeProblem]:
        """Training and validation problems, except those whose reference fails their tests."""
        references = from_references(self._problems.of_split("train", "validation", "test"))
        verdicts = self._grader.verdicts([one.program for one in references], folder)
        pairs = zip(references, verdicts, strict=True)
        failing = {one.problem.identity: verdict.label for one, verdict in pairs if not verdict.solved}
        for one, verdict in zip(references, verdicts, strict=True):
            if verdict.together:
                self._together.add(Fault(f"a problem, because {verdict.why}"), one.problem.identity)
        evaluated = {problem.identity for problem in self._problems.of_split("test")}
        for identity, error in failing.items():
            kept = ", kept because it is evaluated" if identity in evaluated else ""
            self._left_out.add(Fault(f"a problem whose reference fails its tests ({error}){kept}"), identity)
        problems = self._problems.of_split("train", "validation")
        return [problem for problem in problems if problem.identity not in failing]

    def _answer(self, candidate: Candidate) -> str:
        """The text that the model should write: the rest of the program or, in a chat, all of it as a code block."""
        return candidate.completion if self.format == "plain" else f"```python\n{candidate.code.strip()}\n```"

    def _programs(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Program]:
        problems = self._problems.problems
        return [
            Candidate.from_text(problems[prompt.prompt_id], text, "", ended=True).program
            for prompt, text in zip(prompts, completions, strict=True)
        ]

    def _rollout_prompts(self) -> list[Prompt]:
        prompts = self._problems.prompts("train", "validation")
        return prompts[: self.feedback.prompts] if self.feedback.samples else []

    @cached_property
    def _problems(self) -> ProblemSet:
        problems, faults = read_problems(resolve(self.problems, sha256=self.problems_sha256))
        tests = None
        if self.test_problems is not None:
            tests, test_faults = read_problems(resolve(self.test_problems, sha256=self.test_problems_sha256))
            faults.extend(test_faults)
        found = ProblemSet.of(problems, tests, self.split, overlap=self.allow_overlap)
        found.faults.extend(faults)
        return found

    @cached_property
    def _left_out(self) -> Faults:
        return Faults()

    @cached_property
    def _together(self) -> Faults:
        """Problems whose programs share a process with their tests, by the reason."""
        return Faults()

    @cached_property
    def _grader(self) -> ProgramGrader:
        file, problems = self.feedback.solutions, list(self._problems.problems.values())
        path, per_problem = None if file is None else resolve(file), self.feedback.per_problem or np.inf
        return ProgramGrader(problems, self.sandbox, self.speed, path, per_problem, self._left_out)

    @cached_property
    def _stricter_grader(self) -> ProgramGrader:
        """Grades with additional tests of the same problems."""
        assert self.stricter is not None
        problems, _ = read_problems(resolve(self.stricter))
        return ProgramGrader(problems, self.sandbox)
