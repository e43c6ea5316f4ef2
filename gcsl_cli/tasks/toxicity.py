"""Non-toxic generation: continue a prompt of RealToxicityPrompts (Gehman et al. 2020) without turning toxic.

A feedback row:
    {"prompt": "I wanted to", "completion": " say thank you", "score": 0.98, "split": "train", ...}
The score is 1 - toxicity, so that higher is better. Tables show toxicity, as the literature does.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.artifacts import content, resolve
from gcsl_cli.data.input_files import read_json_lines
from gcsl_cli.data.records import FeedbackRow, FeedbackRows, Prompt
from gcsl_cli.data.splits import SplitConfig, prompt_id, split_prompts
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.parts import Part
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.toxicity import expected_maximum, mean, probability
from gcsl_cli.scorers.base import Example, Scorer
from gcsl_cli.scorers.profanity import ProfanityScorer
from gcsl_cli.scorers.wordlist import WordListScorer
from gcsl_cli.tasks import continuation_scores as several
from gcsl_cli.tasks.base import Column, Rollouts, RolloutSettings, Task, examples, flat
from gcsl_cli.tasks.toxicity_files import halves, part_of, prompt_texts, text_of, toxicity_of

log = logging.getLogger("gcsl")


@dataclass
class FeedbackConfig(RolloutSettings):
    """Source of the graded completions."""

    source: str = "rollouts"
    """`rollouts`: continuations sampled from the base policy; `rtp`: RealToxicityPrompts' human ones, from `path`."""
    prompts: int | None = None
    texts: str | None = None
    texts_sha256: str | None = None
    texts_below: float | None = None
    path: str | None = None
    rows: int | None = None
    cut: bool = False
    """End rollouts that the limit cut off after a drawn number of words, so that lengths differ."""


@dataclass
class ToxicityTask(Task):
    """Prompts, graded feedback, scorers and metrics of the toxicity task."""

    name: str = "toxicity"
    prompts_uri: str = "???"
    prompts_sha256: str | None = None
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    scorer: Scorer = field(default_factory=ProfanityScorer)
    second_scorer: Scorer = field(default_factory=WordListScorer)
    scores: list[str] = field(default_factory=list)
    scores_weights: dict[str, float] = field(default_factory=dict)
    fluency: Scorer | None = None

    def score_names(self) -> list[str]:
        """The scores in `task.scores`: politeness, length, fluency, or several of them."""
        return several.check(self.scores)

    def parts(self, feedback: FeedbackRows) -> dict[str, Part]:  # noqa: ARG002
        """Politeness, the length in words, and the log-perplexity under the base model."""
        return several.parts_of(self.score_names(), self.levels, self.feedback.max_new_tokens, self.scores_weights)

    def goal_frame(self) -> str:
        """The goal describes the text that follows."""
        return several.FRAME

    def graded_scores(self) -> list[str]:
        """All that rows have."""
        return self.score_names()

    def part_scores(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> dict[str, Floats]:
        """1 - toxicity, the negative number of words and the negative log-perplexity of each completion."""
        graded = examples(prompts, completions, self.format)
        return self._scores(1.0 - _toxicity(self.scorer, graded), graded)

    def _scores(self, politeness: Floats, graded: Sequence[Example]) -> dict[str, Floats]:
        perplexity = self.fluency(graded) if self.fluency is not None and "fluency" in self.scores else None
        return several.scores_of(self.score_names(), politeness, [one.completion for one in graded], perplexity)

    def grade_scale(self, feedback: FeedbackRows) -> Scale:  # noqa: ARG002
        """Politeness, 1 - toxicity: users see the same numbers that the model is trained on."""
        if self.scores:
            return Scale("mean of the scores", 0.0, 1.0)
        return Scale("politeness", 0.0, 1.0)

    def overview(self) -> list[list[str]]:
        """Number of prompts."""
        prompts = self.prompts()
        tests = sum(prompt.split == "test" for prompt in prompts)
        return [["prompts", f"{len(prompts)}, {tests} of them for evaluation"]]

    def evaluation_prompts(self, feedback: FeedbackRows, split: str = "test") -> list[Prompt]:  # noqa: ARG002
        """The prompts of the split."""
        return [prompt for prompt in self.prompts() if prompt.split == split]

    def feedback_name(self) -> str:
        """`rollouts` or `rtp`, with `-texts` appended if graded texts are added."""
        return self.feedback.source + ("-texts" if self.feedback.texts else "")

    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Source, split, scorer and prompts; for rollouts also the model and the prompt format."""
        feedback = asdict(self.feedback)
        # Local files are identified by content, since they may change under the same name.
        feedback |= {"path": content(self.feedback.path), "texts": content(self.feedback.texts)}
        if not self.feedback.cut:
            del feedback["cut"]
        keys = {
            "version": self.version,
            "feedback": feedback,
            "split": asdict(self.split),
            "scorer": self.scorer.keys(),
            "prompts": content(self.prompts_uri),  # also with source=rtp, which excludes the evaluation prompts
        }
        if self.scores:
            keys |= self._scores_keys | ({"weights": self.scores_weights} if self.scores_weights else {})
        sampled = {"model": dict(model), "format": self.format, "instruction": self.instruction}
        return keys | (sampled if self.feedback.source == "rollouts" else {})

    def evaluation_keys(self) -> dict[str, Any]:
        """Both scorers."""
        scorers = (self.scorer, self.second_scorer)
        keys = {"version": self.version, "scorers": [scorer.keys() for scorer in scorers]}
        return keys | (self._scores_keys if self.scores else {})

    @property
    def _scores_keys(self) -> dict[str, Any]:
        fluency = self.fluency.keys() if self.fluency is not None and "fluency" in self.scores else None
        return {"scores": self.scores} | ({"fluency": fluency} if fluency else {})

    def prompts(self) -> list[Prompt]:
        """Read `prompts_uri`: text files with one prompt per line, or JSON lines as in RealToxicityPrompts."""
        path = resolve(self.prompts_uri, sha256=self.prompts_sha256)
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        lines = [line for file in files for line in prompt_texts(file)]
        if not lines:
            raise DataError(f"{path}: no prompts found. Expected text files with one prompt per line.")
        return split_prompts(lines, self.split)

    def rollouts_planned(self) -> int:
        """Prompts times samples; 0 if the feedback is given.

        Raises:
            ConfigError: the source is unknown, its path is missing, or a setting is out of range.
        """
        source = self.feedback.source
        if source not in ("rollouts", "rtp"):
            raise ConfigError(f"task.feedback.source={source}: unknown. Allowed: rollouts, rtp.")
        if source == "rtp":
            self._rtp_path()
            return 0
        RolloutSettings.of(self.feedback)
        return len(self._rollout_prompts()) * self.feedback.samples

    def graded_rows(self, rollouts: Rollouts, folder: Path | None = None) -> FeedbackRows:  # noqa: ARG002
        """Graded rows of the training and validation splits."""
        self.rollouts_planned()  # checks the settings
        rows = self._rtp_rows() if self.feedback.source == "rtp" else self._rollout_rows(rollouts)
        if self.feedback.texts:
            rows += self._text_rows(self.feedback.texts)
        tests = {prompt.prompt_id for prompt in self.prompts() if prompt.split == "test"}
        graded = FeedbackRows.of(row for row in rows if row.split != "test" and row.prompt_id not in tests)
        return self._by_all_scores(graded) if self.scores else graded

    def _by_all_scores(self, rows: FeedbackRows) -> FeedbackRows:
        """The rows with several scores, and their weighted mean as the score."""
        graded = [Example(row.prompt, row.completion, format=self.format) for row in rows]
        found = self._scores(rows.scores, graded)
        return rows.with_score(several.mean_of(self.parts(rows), found)).with_scores(found)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Floats:
        """1 - toxicity of each completion, or the weighted mean of several scores."""
        if self.scores:
            return several.mean_of(self.parts(FeedbackRows.of([])), self.part_scores(prompts, completions))
        return 1.0 - _toxicity(self.scorer, examples(prompts, completions, self.format))

    def metrics(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]) -> dict[str, PerPrompt]:
        """Expected maximum toxicity, toxicity probability, mean toxicity, and the share with a listed word."""
        each, texts, shape = flat(prompts, completions)
        graded = examples(each, texts, self.format)
        toxicity = _toxicity(self.scorer, graded).reshape(shape)
        return {
            "expected_maximum_toxicity": expected_maximum(toxicity),
            "toxicity_probability": probability(toxicity),
            "mean_toxicity": mean(toxicity),
            "listed_word": mean(_toxicity(self.second_scorer, graded).reshape(shape)),
        }

    def result_columns(self) -> list[Column]:
        """Expected maximum toxicity first."""
        return [
            Column("expected_maximum_toxicity", "expected max toxicity", "lower"),
            Column("toxicity_probability", "toxicity probability", "lower", detail=True),
            Column("mean_toxicity", "mean toxicity", "lower"),
            Column("listed_word", "has listed word", "lower", independent=True),
        ]

    def _rollout_prompts(self) -> list[Prompt]:
        chosen = [prompt for prompt in self.prompts() if prompt.split != "test"]
        return chosen[: self.feedback.prompts]

    def _rtp_path(self) -> str:
        if not self.feedback.path:
            raise ConfigError(
                "task.feedback.source=rtp needs task.feedback.path: a JSON lines file in RealToxicityPrompts' format, "
                "or hf://datasets/allenai/real-toxicity-prompts/prompts.jsonl."
            )
        return self.feedback.path

    def _rollout_rows(self, rollouts: Rollouts) -> list[FeedbackRow]:
        prompts, settings = self._rollout_prompts(), RolloutSettings.of(self.feedback)
        splits = {prompt.prompt_id: prompt.split for prompt in prompts}
        sampled = [row for row in rollouts(prompts, settings) if row.completion.strip()]
        if self.feedback.cut:
            sampled = [*several.cut(sampled, settings.seed)]
        scores = 1.0 - _toxicity(
            self.scorer, [Example(row.prompt, row.completion, format=self.format) for row in sampled]
        )
        return [
            FeedbackRow(
                row.prompt, row.completion, float(score), row.prompt_id, splits[row.prompt_id], row.finished, "rollouts"
            )
            for row, score in zip(sampled, scores, strict=True)
            if not math.isnan(score)
        ]

    def _text_rows(self, uri: str) -> list[FeedbackRow]:
        """Split texts in half, as RealToxicityPrompts does, and grade the second half with the task's scorer."""
        path = resolve(uri, sha256=self.feedback.texts_sha256)
        texts = dict.fromkeys(text_of(row, "text", place) for row, place in read_json_lines(path))
        divided = [half for text in texts if (half := halves(text))]
        scores = 1.0 - _toxicity(self.scorer, [Example(prompt, completion) for prompt, completion in divided])
        below = self.feedback.texts_below
        chosen = [
            (prompt, completion, float(score))
            for (prompt, completion), score in zip(divided, scores, strict=True)
            if not math.isnan(score) and (below is None or score < below)
        ]
        # Where the length is graded, the end of a whole text is an example of one.
        return self._given_rows(chosen, "texts", finished="length" in self.scores)

    def _rtp_rows(self) -> list[FeedbackRow]:
        config, path = self.feedback, self._rtp_path()
        graded: list[tuple[str, str, float]] = []
        ungraded = 0
        for row, place in read_json_lines(resolve(path)):
            prompt, continuation = part_of(row, "prompt", place), part_of(row, "continuation", place)
            if "toxicity" not in continuation:
                raise DataError(f"{place}: continuation.toxicity is missing. Expected a number from 0 to 1, or null.")
            toxicity = continuation["toxicity"]
            if toxicity is None:
                ungraded += 1
                continue
            graded.append(
                (text_of(prompt, "text", place), text_of(continuation, "text", place), 1 - toxicity_of(toxicity, place))
            )
            if config.rows is not None and len(graded) >= config.rows:
                break
        if ungraded:
            log.info("skipped %d rows of %s that have no toxicity grade", ungraded, path)
        if not graded:
            raise DataError(f"{path}: no graded rows. Expected JSON lines in RealToxicityPrompts' format.")
        return self._given_rows(graded, "rtp")

    def _given_rows(
        self, graded: Sequence[tuple[str, str, float]], source: str, *, finished: bool = False
    ) -> list[FeedbackRow]:
        # RealToxicityPrompts cuts texts off arbitrarily, so they must not teach the end of text.
        splits = {p.prompt_id: p.split for p in split_prompts([prompt for prompt, _, _ in graded], self.split)}
        return [
            FeedbackRow(prompt, completion, score, id_, splits[id_], finished, source)
            for prompt, completion, score in graded
            for id_ in [prompt_id(prompt)]
        ]


def _toxicity(scorer: Scorer, graded: Sequence[Example]) -> Floats:
    """The scorer's grades, which have to be from 0 to 1."""
    grades = scorer(graded)
    if (outside := grades[(grades < 0) | (grades > 1)]).size:
        raise ConfigError(
            f"scorer={scorer.name}: a grade of {outside[0]:g}; this task takes toxicities, from 0 to 1. Use another "
            "scorer, or the same prompts with task=prompts."
        )
    return grades
