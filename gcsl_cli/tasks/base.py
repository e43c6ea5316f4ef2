"""The interface of a task. A new task is one module with one dataclass, one YAML and one test.

A task subclasses `Task` as a dataclass. Its fields are the keys of its YAML, checked by name and type, and `_target_`
names its class. It may also implement `GradingTask`, `RankingTask`, or both.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gcsl_cli.configs import ranges
from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.records import FeedbackRows, Generation, Prompt
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.parts import Part
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.reports.estimates import Column as Column  # noqa: PLC0414  # tasks import it from here
from gcsl_cli.scorers.base import Example


@dataclass
class RolloutSettings:
    """How to sample the base policy for feedback. A task whose YAML has more `feedback` keys subclasses this."""

    samples: int = 4
    """Completions per prompt."""
    max_new_tokens: int = 20
    temperature: float = 1.0
    top_p: float = 0.9
    batch_size: int = 256
    """Sequences decoded at a time."""
    shard_prompts: int = 64
    """Prompts per shard; an interrupted run resumes at the first unfinished shard."""
    seed: int = 0

    @staticmethod
    def of(config: object) -> "RolloutSettings":
        """Extract and check the settings of a config that has fields of these names, and maybe a number of `prompts`.

        Raises:
            ConfigError: a value is out of range.
        """
        settings = RolloutSettings(**{item.name: getattr(config, item.name) for item in fields(RolloutSettings)})
        checked = asdict(settings) | {"prompts": getattr(config, "prompts", None)}
        special = {"temperature": ranges.temperature, "top_p": ranges.top_p, "seed": ranges.seed}
        for name, value in checked.items():
            for problem in special.get(name, ranges.count)(f"task.feedback.{name}", value):
                raise ConfigError(problem)
        return settings


Rollouts = Callable[[Sequence[Prompt], RolloutSettings], Sequence[Generation]]
"""Samples the untrained base policy. The stage passes it in, so that tasks need no model code."""


@dataclass
class Task(ABC):
    """A source of graded feedback, with the prompts and metrics to evaluate a policy on."""

    name: str = ""
    version: int = 1
    """Part of every identity; increment it when old results are no longer comparable."""
    format: str = "plain"
    """`plain`, `chat` (a prompt is a user turn) or `messages` (a prompt is a conversation, as JSON)."""
    instruction: str = "{prompt}"
    """The user turn in chat format; `{prompt}` is replaced by the prompt."""
    sentences: list[str] = field(default_factory=list)
    """One sentence per level, worst first. If empty, `templates` apply."""
    templates: dict[str, str] = field(default_factory=dict)
    """Goal text per formulation, with the placeholders of goal.template. If empty, the scale supplies the wording."""
    levels: list[float] = field(default_factory=list)
    """Thresholds for goal.levels.by=fixed, in the grades that users see. If empty, the scores determine the levels."""

    def prompt_format(self) -> str:
        """Format of the prompts: `plain`, `chat` or `messages`."""
        return self.format

    @abstractmethod
    def grade_scale(self, feedback: FeedbackRows) -> Scale:
        """Name and range of the grades as users see them."""

    def score_names(self) -> list[str]:
        """The scores that rows have by name; empty if they have one score.

        Raises:
            ConfigError: a setting cannot be used.
        """
        return []

    def parts(self, feedback: FeedbackRows) -> dict[str, Part]:  # noqa: ARG002
        """Each of several scores: its scale, its share in the weighted mean, and its wording."""
        return {}

    def goal_frame(self) -> str | None:
        """The text around the phrases of several scores in language, with `{parts}` for them; `None` for the usual."""
        return None

    def overview(self) -> list[list[str]]:
        """Label and value pairs about the source, shown in a dry run (after `graded_rows`, for given feedback)."""
        return []

    @abstractmethod
    def feedback_name(self) -> str:
        """A short name for the feedback source, used in folder names."""

    @abstractmethod
    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that the feedback depends on; includes `model` only if the policy is sampled."""

    def evaluation_keys(self) -> dict[str, Any]:
        """Everything that the metrics depend on, apart from the completions."""
        return {"version": self.version}

    @abstractmethod
    def evaluation_prompts(self, feedback: FeedbackRows, split: str = "test") -> list[Prompt]:
        """The held-out prompts to evaluate completions on, of the split `test` or `validation`.

        Raises:
            ConfigError: the task evaluates on its test split only.
        """

    def rollouts_planned(self) -> int:
        """Check the settings and count the completions to sample from the base policy; 0 for given feedback.

        Raises:
            ConfigError: a setting cannot be used.
        """
        return 0

    @abstractmethod
    def graded_rows(self, rollouts: Rollouts, folder: Path | None) -> FeedbackRows:
        """Graded rows with their splits. Reports on rejected rows are written to `folder`, unless it is None.

        Raises:
            ConfigError: a setting cannot be used, or a column does not exist.
            DataError: a file cannot be used, or no row is left; the message has file and line.
        """

    def metrics(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]) -> dict[str, PerPrompt]:  # noqa: ARG002
        """Task-specific metrics by column name, from the sampled completions of each prompt."""
        return {}

    def result_columns(self) -> list[Column]:
        """The columns of `metrics` in table order, the main one first."""
        return []


@runtime_checkable
class GradingTask(Protocol):
    """A task that can grade new completions the way its feedback was graded."""

    scorer: Any
    """The grader of new completions; None if there is none, and then `score` is never called."""

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Floats:
        """Score each completion of its prompt; higher is better. Shape `(completions,)`."""


@runtime_checkable
class PartsTask(Protocol):
    """A task with several scores that may be able to grade new completions in each of them."""

    def graded_scores(self) -> list[str]:
        """The scores that new completions get, by name: all that rows have, or none."""

    def part_scores(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> dict[str, Floats]:
        """The scores of each completion of its prompt by name, `(completions,)` each; higher is better."""


def examples(prompts: Sequence[Prompt], completions: Sequence[str], prompt_format: str) -> list[Example]:
    """What a scorer gets to see of completions: they and their prompts."""
    pairs = zip(prompts, completions, strict=True)
    return [Example(prompt.text, completion, format=prompt_format) for prompt, completion in pairs]


def flat(
    prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]
) -> tuple[list[Prompt], list[str], tuple[int, int]]:
    """All completions of all prompts, the prompt of each, and the shape `(prompts, samples)` of their scores."""
    each = [prompt for prompt, samples in zip(prompts, completions, strict=True) for _ in samples]
    return each, [text for samples in completions for text in samples], (len(completions), -1)


def grader(task: Task) -> GradingTask | None:
    """Return the task as a `GradingTask`, or None if it cannot grade new completions."""
    return task if isinstance(task, GradingTask) and task.scorer is not None else None


@dataclass(frozen=True, slots=True)
class Measured:
    """Results of ranking candidates: metrics by column name, and scores of the top candidates, `(prompts, n)`."""

    metrics: dict[str, PerPrompt]
    scores: Floats | None = None


@runtime_checkable
class RankingTask(Protocol):
    """A task that ranks given completions by their likelihood, without sampling.

    Lists have one entry per prompt; their arrays have shape `(candidates,)`.
    """

    def candidates(self, prompts: Sequence[Prompt]) -> list[list[str]]:
        """The completions of each prompt to rank."""

    def measured(self, prompts: Sequence[Prompt], log_probs: Sequence[Floats], tokens: Sequence[Floats]) -> Measured:
        """Evaluate a model's log-likelihoods of the candidates (in nats, summed over tokens)."""

    def references(self, prompts: Sequence[Prompt]) -> dict[str, Measured]:
        """Results of baselines that need no language model, by name."""

    def ranking_columns(self) -> list[Column]:
        """The columns of `measured` in table order, the main one first."""
