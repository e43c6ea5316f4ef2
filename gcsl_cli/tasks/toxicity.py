"""Non-toxic generation: continue a prompt of RealToxicityPrompts (Gehman et al. 2020) without turning toxic.

A feedback row:
    {"prompt": "I wanted to", "completion": " say thank you", "score": 0.98, "split": "train", ...}
The score is 1 - toxicity, so that higher is better; tables show toxicity, as the literature does.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.data.artifacts import content, resolve
from gcsl_cli.data.jsonl import Place, read_jsonl
from gcsl_cli.data.records import FeedbackRow, FeedbackRows, Prompt
from gcsl_cli.data.splits import SplitConfig, prompt_id, split_prompts
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.toxicity import expected_maximum, mean, probability
from gcsl_cli.scorers.profanity import ProfanityScorer
from gcsl_cli.scorers.wordlist import WordListScorer
from gcsl_cli.tasks.base import Column, Rollouts, RolloutSettings, scorer_keys

log = logging.getLogger("gcsl")


@dataclass
class FeedbackConfig:
    """Where the graded completions come from."""

    source: str = "rollouts"
    """`rollouts`: the base policy's own continuations; `rtp`: RealToxicityPrompts' human ones, from `path`."""
    samples: int = 4
    max_new_tokens: int = 20
    temperature: float = 1.0
    top_p: float = 0.9
    batch_size: int = 256
    shard_prompts: int = 64
    seed: int = 0
    prompts: int | None = None
    texts: str | None = None
    texts_sha256: str | None = None
    texts_below: float | None = None
    path: str | None = None
    rows: int | None = None


@dataclass
class ToxicityTask:
    """Prompts, graded feedback, scorers and metrics of the toxicity task."""

    name: str = "toxicity"
    version: int = 1
    prompts_uri: str = "???"
    prompts_sha256: str | None = None
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    format: str = "plain"
    instruction: str = "{prompt}"
    sentences: list[str] = field(default_factory=list)
    templates: dict[str, str] = field(default_factory=dict)
    levels: list[float] = field(default_factory=list)
    scorer: ProfanityScorer = field(default_factory=ProfanityScorer)
    second_scorer: WordListScorer = field(default_factory=WordListScorer)

    def prompt_format(self) -> str:
        """As configured."""
        return self.format

    def grade_scale(self, feedback: FeedbackRows) -> Scale:  # noqa: ARG002
        """Scores are 1 - toxicity: grades are given as they are learned from."""
        return Scale("politeness", 0.0, 1.0)

    def overview(self) -> list[list[str]]:
        """How many prompts there are."""
        prompts = self.prompts()
        tests = sum(prompt.split == "test" for prompt in prompts)
        return [["prompts", f"{len(prompts)}, {tests} of them for evaluation"]]

    def evaluation_prompts(self, feedback: FeedbackRows) -> list[Prompt]:  # noqa: ARG002
        """The prompts of the test split."""
        return [prompt for prompt in self.prompts() if prompt.split == "test"]

    def feedback_name(self) -> str:
        """`rollouts` or `rtp`, `-texts` behind it when graded texts are added."""
        return self.feedback.source + ("-texts" if self.feedback.texts else "")

    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """The feedback's own keys, the prompts', the scorer's, and the model's when it is sampled."""
        feedback = asdict(self.feedback)
        # A file of the user's may change under its name.
        feedback |= {"path": content(self.feedback.path), "texts": content(self.feedback.texts)}
        keys = {
            "version": self.version,
            "feedback": feedback,
            "split": asdict(self.split),
            "scorer": scorer_keys(self.scorer),
            "prompts": content(self.prompts_uri),  # also of given feedback: prompts to be evaluated are left out of it
        }
        sampled = {"model": dict(model), "format": self.format, "instruction": self.instruction}
        return keys | (sampled if self.feedback.source == "rollouts" else {})

    def evaluation_keys(self) -> dict[str, Any]:
        """What the metrics depend on: both scorers."""
        scorers = (self.scorer, self.second_scorer)
        return {"version": self.version, "scorers": [scorer_keys(scorer) for scorer in scorers]}

    def prompts(self) -> list[Prompt]:
        """The prompts of `prompts_uri`: text files with one a line, or the JSON lines of RealToxicityPrompts."""
        path = resolve(self.prompts_uri, sha256=self.prompts_sha256)
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        lines = [line for file in files for line in _prompts(file)]
        if not lines:
            raise DataError(f"{path}: no prompt in it; expected text files with one prompt a line.")
        return split_prompts(lines, self.split)

    def rollouts_planned(self) -> int:
        """Prompts times samples, 0 for given feedback.

        Raises:
            ConfigError: the source is unknown, its path is missing, or a setting is out of range.
        """
        source = self.feedback.source
        if source not in ("rollouts", "rtp"):
            raise ConfigError(f"task.feedback.source={source}: unknown; one of rollouts, rtp.")
        if source == "rtp":
            self._rtp_path()
            return 0
        RolloutSettings.of(self.feedback)
        return len(self._rollout_prompts()) * self.feedback.samples

    def graded_rows(self, rollouts: Rollouts, folder: Path | None = None) -> FeedbackRows:  # noqa: ARG002
        """Graded rows of the splits `train` and `validation`.

        Raises:
            ConfigError: the source is unknown or its path is missing.
            DataError: the file is broken; names file, line and field.
        """
        self.rollouts_planned()  # also the check of the settings
        rows = self._rtp_rows() if self.feedback.source == "rtp" else self._rollout_rows(rollouts)
        if self.feedback.texts:
            rows += self._text_rows(self.feedback.texts)
        tests = {prompt.prompt_id for prompt in self.prompts() if prompt.split == "test"}
        return FeedbackRows.of(row for row in rows if row.split != "test" and row.prompt_id not in tests)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> NDArray[np.float64]:  # noqa: ARG002
        """1 - toxicity of each completion."""
        return self._politeness(completions)

    def metrics(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]) -> dict[str, PerPrompt]:  # noqa: ARG002
        """Expected maximum toxicity, toxicity probability, mean toxicity, and the share with a listed word."""
        flat = [completion for samples in completions for completion in samples]
        shape = (len(completions), -1)
        toxicity = self.scorer(flat).reshape(shape)
        return {
            "expected_maximum_toxicity": expected_maximum(toxicity),
            "toxicity_probability": probability(toxicity),
            "mean_toxicity": mean(toxicity),
            "listed_word": mean(self.second_scorer(flat).reshape(shape)),
        }

    def result_columns(self) -> list[Column]:
        """The table's columns, the main metric first."""
        return [
            Column("expected_maximum_toxicity", "expected max toxicity", "lower"),
            Column("toxicity_probability", "toxicity probability", "lower", detail=True),
            Column("mean_toxicity", "mean toxicity", "lower"),
            Column("listed_word", "has listed word", "lower", independent=True),
        ]

    def _politeness(self, completions: Sequence[str]) -> NDArray[np.float64]:
        return 1.0 - self.scorer(completions)

    def _rollout_prompts(self) -> list[Prompt]:
        chosen = [prompt for prompt in self.prompts() if prompt.split != "test"]
        return chosen[: self.feedback.prompts]

    def _rtp_path(self) -> str:
        if not self.feedback.path:
            raise ConfigError(
                "task.feedback.source=rtp needs task.feedback.path: a JSON lines file in the form of "
                "RealToxicityPrompts, or hf://datasets/allenai/real-toxicity-prompts/prompts.jsonl."
            )
        return self.feedback.path

    def _rollout_rows(self, rollouts: Rollouts) -> list[FeedbackRow]:
        prompts, settings = self._rollout_prompts(), RolloutSettings.of(self.feedback)
        splits = {prompt.prompt_id: prompt.split for prompt in prompts}
        made = [row for row in rollouts(prompts, settings) if row.completion.strip()]
        scores = self._politeness([row.completion for row in made])
        return [
            FeedbackRow(
                row.prompt, row.completion, float(score), row.prompt_id, splits[row.prompt_id], row.finished, "rollouts"
            )
            for row, score in zip(made, scores, strict=True)
        ]

    def _text_rows(self, uri: str) -> list[FeedbackRow]:
        """Sentences split into halves, as RealToxicityPrompts does; the second half is graded by our scorer."""
        path = resolve(uri, sha256=self.feedback.texts_sha256)
        texts = dict.fromkeys(_text(row, "text", place) for row, place in read_jsonl(path))
        halves = [half for text in texts if (half := _halves(text))]
        scores = self._politeness([completion for _, completion in halves])
        below = self.feedback.texts_below
        chosen = [
            (prompt, completion, float(score))
            for (prompt, completion), score in zip(halves, scores, strict=True)
            if below is None or score < below
        ]
        return self._given_rows(chosen, "texts")

    def _rtp_rows(self) -> list[FeedbackRow]:
        config, path = self.feedback, self._rtp_path()
        graded: list[tuple[str, str, float]] = []
        ungraded = 0
        for row, place in read_jsonl(resolve(path)):
            prompt, continuation = _part(row, "prompt", place), _part(row, "continuation", place)
            if "toxicity" not in continuation:
                raise DataError(f"{place}: continuation.toxicity is missing; expected a number from 0 to 1, or null.")
            toxicity = continuation["toxicity"]
            if toxicity is None:
                ungraded += 1
                continue
            graded.append(
                (_text(prompt, "text", place), _text(continuation, "text", place), 1 - _grade(toxicity, place))
            )
            if config.rows is not None and len(graded) >= config.rows:
                break
        if ungraded:
            log.info("%d rows of %s have no toxicity and were left out", ungraded, path)
        if not graded:
            raise DataError(f"{path}: no graded row in it; expected RealToxicityPrompts' JSON lines.")
        return self._given_rows(graded, "rtp")

    def _given_rows(self, graded: Sequence[tuple[str, str, float]], source: str) -> list[FeedbackRow]:
        # The texts end where their annotators cut them, so they do not teach an end of text.
        splits = {p.prompt_id: p.split for p in split_prompts([prompt for prompt, _, _ in graded], self.split)}
        return [
            FeedbackRow(prompt, completion, score, id_, splits[id_], False, source)
            for prompt, completion, score in graded
            for id_ in [prompt_id(prompt)]
        ]


def _prompts(path: Path) -> list[str]:
    if path.suffix == ".jsonl":
        return [_text(_part(row, "prompt", place), "text", place) for row, place in read_jsonl(path)]
    return _lines(path)


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}).") from error


def _halves(text: str) -> tuple[str, str] | None:
    words = text.strip().split(" ")
    if len(words) < 6:
        return None
    middle = len(words) // 2
    return " ".join(words[:middle]), " " + " ".join(words[middle:])


def _part(row: Mapping[str, Any], key: str, place: Place) -> Mapping[str, Any]:
    value = row.get(key)
    if not isinstance(value, dict):
        raise DataError(f"{place}: {key!r} is {'missing' if value is None else 'no object'}; expected {{'text': ...}}.")
    return value


def _text(row: Mapping[str, Any], key: str, place: Place) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: {key!r} is {value!r}; expected a text.")
    return value


def _grade(value: object, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise DataError(f"{place}: continuation.toxicity is {value!r}; expected a number from 0 to 1.")
    return float(value)
