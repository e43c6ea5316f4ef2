"""A user's own prompts and any scorer: the policy's completions are graded, and the best goal is asked for.

A feedback row:
    {"prompt": "Name a cat.", "completion": "Minka, please.", "score": 1.0, "split": "train", ...}
The score is the scorer's grade, negated if lower grades are better.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.artifacts import content, resolve
from gcsl_cli.data.input_files import CsvConfig, ReadOptions
from gcsl_cli.data.records import FeedbackRow, FeedbackRows, Prompt
from gcsl_cli.data.splits import SplitConfig, prompt_id, split_prompts
from gcsl_cli.errors import ConfigError, DataError, listed
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.attainment import mean_score
from gcsl_cli.metrics.bootstrap import PerPrompt, mean_over_prompts
from gcsl_cli.scorers.base import Example, Scorer
from gcsl_cli.tasks.base import Column, Rollouts, RolloutSettings, Task, flat
from gcsl_cli.tasks.prompts.grades import check_grades
from gcsl_cli.tasks.prompts.prompt_file import ColumnsConfig, PromptFile, PromptRow, read_prompts
from gcsl_cli.tasks.weighted_parts import WeightedParts

CHOICES = {
    "score_direction": ("higher", "lower", None),
    "on_error": ("fail", "skip"),
    "format": ("auto", "plain", "chat"),
}

log = logging.getLogger("gcsl")


@dataclass
class FeedbackConfig(RolloutSettings):
    """How to sample the base policy, and for how many prompts."""

    prompts: int | None = None


@dataclass
class PromptsTask(WeightedParts, Task):
    """Prompts from a file, and the scorer of completions."""

    name: str = "prompts"
    path: str = "???"
    sha256: str | None = None
    revision: str | None = None
    files: str | None = None
    encoding: str | None = None
    rows_key: str | None = None
    csv: CsvConfig = field(default_factory=CsvConfig)
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    on_error: str = "fail"
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    score_direction: str | None = None
    score_name: str | None = None
    scale: list[float] | None = None
    test_prompts: int = 64
    split: SplitConfig = field(default_factory=SplitConfig)
    format: str = "auto"
    scorer: Scorer | None = None
    second_scorer: Scorer | None = None
    scores: list[str] = field(default_factory=list)

    def prompt_format(self) -> str:
        """`plain` or `chat` as configured, or `messages` if the file holds conversations.

        Raises:
            ConfigError: the format or the instruction does not fit the file.
        """
        return self.format_of(self.file)

    def format_of(self, file: PromptFile) -> str:
        """The format of the prompts of a file that has been read; as `prompt_format`."""
        if not file.conversations:
            return "chat" if self.format == "auto" else self.format
        for key, allowed in (("format", ("auto", "chat")), ("instruction", ("{prompt}",))):
            if getattr(self, key) not in allowed:
                raise ConfigError(
                    f"task.{key}={getattr(self, key)}: {self.path} holds conversations, which have their own. Omit it."
                )
        return "messages"

    def grade_scale(self, feedback: FeedbackRows) -> Scale:
        """As configured, else the scorer's limits, else the range of the grades."""
        if self.scores:
            return Scale("mean of the scores", 0.0, 1.0)
        grades = self._signed(feedback.scores)
        low, high = self.scale or self.grader.limits() or (float(grades.min()), float(grades.max()))
        return Scale(self.score_name or "quality", low, high, self._lower)

    def overview(self) -> list[list[str]]:
        """The file and its prompts."""
        prompts = self.prompts()
        sizes = listed(
            f"{sum(prompt.split == name for prompt in prompts)} {name}" for name in ("train", "validation", "test")
        )
        return [
            ["file", f"{self.path}: {len(self.file.rows)} rows"],
            *self.file.overview(),
            ["prompts", f"{len(prompts)} distinct: {sizes}"],
            ["scorer", self.grader.name],
        ]

    def feedback_name(self) -> str:
        """The names of the file and of the scorer, restricted to characters that are safe in folder names."""
        parts = (Path(self.path).stem, self.grader.name)
        return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-").lower()[:30] or "file" for part in parts)

    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """The file's content, how it is read, sampling, scorer and model."""
        return {
            "version": self.version,
            "path": content(self.path),
            "revision": self.revision,
            "files": self.files,
            "options": asdict(self._options),
            "columns": asdict(self.columns),
            "on_error": self.on_error,
            "feedback": asdict(self.feedback),
            "split": asdict(self.split),
            "lower_is_better": self._lower,
            "scorer": self.grader.keys(),
            "model": dict(model),
            "format": self.format,
            "instruction": self.instruction,
            **self.scores_key,
        }

    def evaluation_keys(self) -> dict[str, Any]:
        """Both scorers."""
        second = None if self.second_scorer is None else self.second_scorer.keys()
        return {"version": self.version, "scorers": [self.grader.keys(), second], **self.scores_key}

    def prompts(self) -> list[Prompt]:
        """The distinct prompts with their splits."""
        found = split_prompts([row.prompt for row in self.file.rows], self.split)
        return [replace(prompt, source=self._known[prompt.prompt_id].place) for prompt in found]

    def evaluation_prompts(self, feedback: FeedbackRows, split: str = "test") -> list[Prompt]:  # noqa: ARG002
        """The first `test_prompts` of the split."""
        return [prompt for prompt in self.prompts() if prompt.split == split][: self.test_prompts]

    def rollouts_planned(self) -> int:
        """Prompts times samples.

        Raises:
            ConfigError: a setting cannot be used, or the scorer needs references that the file does not have.
        """
        self.check()
        return len(self._sampled()) * RolloutSettings.of(self.feedback).samples

    def graded_rows(self, rollouts: Rollouts, folder: Path | None) -> FeedbackRows:  # noqa: ARG002
        """Graded rollouts of the prompts outside the test split; blank ones and those without any grade are left out.

        Raises:
            DataError: no completion has a grade, or all have the same.
        """
        self.check()
        prompts = {prompt.prompt_id: prompt for prompt in self._sampled()}
        sampled = rollouts(list(prompts.values()), RolloutSettings.of(self.feedback))
        rows = [row for row in sampled if row.completion.strip()]
        scores, several = self._graded([prompts[row.prompt_id] for row in rows], [row.completion for row in rows])
        check_grades(self._signed(scores), len(sampled), self.grader)
        kept = np.flatnonzero(np.isfinite(scores))
        graded = FeedbackRows.of(
            FeedbackRow(row.prompt, row.completion, float(score), id_, prompts[id_].split, row.finished, "rollouts")
            for row, score in ((rows[place], scores[place]) for place in kept.tolist())
            for id_ in [row.prompt_id]
        )
        return graded.with_scores({name: values[kept] for name, values in several.items()})

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Floats:
        """The scorer's grades, negated if lower is better; shape `(completions,)`, NaN for no grade."""
        return self._graded(prompts, completions)[0]

    def _graded(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> tuple[Floats, dict[str, Floats]]:
        """The score of each completion, and several by name if there are."""
        if self.scores:
            return self.mean_and_parts(prompts, completions)
        return self._signed(self.grader(self.examples(prompts, completions))), {}

    def metrics(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]) -> dict[str, PerPrompt]:
        """The mean grade, the best grade among the samples of a prompt, and the second scorer's mean."""
        each, texts, shape = flat(prompts, completions)
        examples = self.examples(each, texts)
        grades = self.grader(examples).reshape(shape)
        best = self._signed(self._signed(grades).max(axis=1))
        found = {"mean_score": mean_score(grades), "best_of_n": mean_over_prompts(best)}
        if self.second_scorer is not None:
            found["second_score"] = mean_score(self.second_scorer(examples).reshape(shape))
        return found | {"ungraded": mean_over_prompts(np.isnan(grades).mean(axis=1))}

    def result_columns(self) -> list[Column]:
        """The mean grade first."""
        name, better = self.score_name or self.grader.name, "lower" if self._lower else "higher"
        columns = [Column("mean_score", f"mean {name}", better), Column("best_of_n", f"best {name} of n", better)]
        if self.second_scorer is not None:
            direction = "lower" if self.second_scorer.lower_is_better else ""
            columns.append(Column("second_score", f"mean {self.second_scorer.name}", direction, independent=True))
        return [*columns, Column("ungraded", "no grade", "lower", detail=True)]

    def check(self) -> None:
        """Check everything that is known before a completion is sampled.

        Raises:
            ConfigError: a setting cannot be used, or a scorer needs references that the file does not have.
            DataError: rows of the file cannot be used.
        """
        for key, allowed in CHOICES.items():
            if getattr(self, key) not in allowed:
                raise ConfigError(
                    f"task.{key}={getattr(self, key)}: unknown. Allowed: {listed(filter(None, allowed))}."
                )
        scale = self.scale
        if scale is not None and (len(scale) != 2 or not np.isfinite(scale).all() or scale[0] >= scale[1]):
            raise ConfigError(f"task.scale={scale}: expected the lowest and highest grade, for example [1,5].")
        for key, value in (("score_direction", self.score_direction), ("scale", scale)):
            if self.scores and value is not None:
                raise ConfigError(
                    f"task.{key}={value} with task.scores: the parts of the scorer have directions and scales of their "
                    "own (scorer.weights, scorer.ranges). Leave it out."
                )
        self.score_names()
        if self.test_prompts < 1:
            raise ConfigError(f"task.test_prompts={self.test_prompts}: must be at least 1.")
        for scorer in filter(None, (self.grader, self.second_scorer)):
            scorer.check()
            self.file.check(scorer, self.path)

    @property
    def grader(self) -> Scorer:
        """The scorer; a `ConfigError` says how to choose one if there is none."""
        if self.scorer is None:
            raise ConfigError("No scorer is chosen. Give scorer=NAME; gcsl train --help lists them.")
        return self.scorer

    @cached_property
    def file(self) -> PromptFile:
        """The file, read once."""
        return self.read()

    def read(self, *, completions: bool = False) -> PromptFile:
        """Read the file, with a completion in each row or without.

        Raises:
            DataError: rows cannot be used and `on_error` is `fail`, or no row is left.
        """
        path = resolve(self.path, sha256=self.sha256, revision=self.revision)
        found = read_prompts(path, self.files, self._options, self.columns, completions=completions)
        listing = "".join(f"\n  {line}" for line in found.faults.lines())
        if found.faults.total and (self.on_error == "fail" or not found.rows):
            total = found.faults.total + len(found.rows)
            raise DataError(
                f"{self.path}: {found.faults.total} of {total} rows cannot be used:{listing}\n"
                + ("Correct them, or skip them with task.on_error=skip." if found.rows else "No usable rows are left.")
            )
        if found.faults.total:
            log.warning("skipped %d rows:%s", found.faults.total, listing)
        return found

    @property
    def _options(self) -> ReadOptions:
        return ReadOptions(self.encoding, self.rows_key, self.csv)

    @property
    def _lower(self) -> bool:
        return self.grader.lower_is_better if self.score_direction is None else self.score_direction == "lower"

    def _signed(self, grades: Floats) -> Floats:
        """Scores of grades, or grades of scores: where lower grades are better, the sign is turned."""
        return 0.0 - grades if self._lower else grades

    @cached_property
    def _known(self) -> dict[str, PromptRow]:
        """The first row of each prompt."""
        return {prompt_id(row.prompt): row for row in reversed(self.file.rows)}

    def _sampled(self) -> list[Prompt]:
        chosen = [prompt for prompt in self.prompts() if prompt.split != "test"]
        return chosen[: self.feedback.prompts]

    def examples(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Example]:
        """The completions with what is known about their prompts."""
        form = self.prompt_format()
        return [
            Example(prompt.text, completion, known.reference, known.columns, form)
            for prompt, completion in zip(prompts, completions, strict=True)
            for known in [self._known[prompt.prompt_id]]
        ]
