"""What a task is. A new task is one module with one dataclass, one YAML and one test.

A task is a dataclass: its fields are the keys of its YAML, checked by name and type, and `_target_` names its class.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.data.records import FeedbackRows, Generation, Prompt
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """How the base policy is sampled to make feedback."""

    samples: int
    max_new_tokens: int
    temperature: float
    top_p: float
    batch_size: int
    shard_prompts: int
    seed: int

    @staticmethod
    def of(config: object) -> "RolloutSettings":
        """Those of a task's config, which has fields of these names among others.

        Raises:
            ConfigError: a value is out of its range.
        """
        return RolloutSettings(**{item.name: getattr(config, item.name) for item in fields(RolloutSettings)})

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled.

        Raises:
            ConfigError: a value is out of its range.
        """
        ranges = {
            "samples": self.samples >= 1,
            "max_new_tokens": self.max_new_tokens >= 1,
            "temperature": 0 < self.temperature < math.inf,
            "top_p": 0 < self.top_p <= 1,
            "batch_size": self.batch_size >= 1,
            "shard_prompts": self.shard_prompts >= 1,
            "seed": self.seed >= 0,
        }
        wrong = [name for name, right in ranges.items() if not right]
        if wrong:
            raise ConfigError(
                f"task.feedback.{wrong[0]}={getattr(self, wrong[0])}: out of range; counts are at least 1, temperature "
                "is above 0, top_p above 0 and at most 1, seed at least 0. Leave it out for the default."
            )


Floats = NDArray[np.float64]
Rollouts = Callable[[Sequence[Prompt], RolloutSettings], Sequence[Generation]]
"""Samples the untouched base policy; given by the stage, so that tasks need no model code."""


@dataclass(frozen=True, slots=True)
class Column:
    """A metric of the results table."""

    name: str
    label: str
    better: str
    """`lower`, `higher`, or empty where neither is."""
    digits: int = 3
    independent: bool = False
    """Measured by something else than the scorer that made the training data."""
    detail: bool = False
    """Tables that compare methods leave it out; their files have it."""


def scorer_keys(scorer: Any) -> dict[str, Any]:
    """What names a scorer in an identity: its class and its fields."""
    return {"class": f"{type(scorer).__module__}.{type(scorer).__qualname__}", **asdict(scorer)}


class Task(Protocol):
    """Graded feedback, evaluation prompts and metrics; a `GradingTask` also grades, a `RankingTask` also ranks."""

    name: str
    version: int
    """Counts up when results of the task are no longer comparable; part of every identity."""
    instruction: str
    """Stands before the prompt in a chat turn; `{prompt}` is replaced."""
    sentences: list[str]
    """The levels in words, worst first; none: they are worded by `templates`."""
    templates: Mapping[str, str]
    """A goal in words by formulation, with the placeholders of goal.template; none: it is worded from the scale."""
    levels: list[float]
    """Thresholds, as people grade, for goal.levels.by=fixed; none: levels follow from the scores."""

    def prompt_format(self) -> str:
        """`plain`, `chat` (a prompt is the user's turn) or `messages` (a conversation, as JSON)."""
        ...

    def grade_scale(self, feedback: FeedbackRows) -> Scale:
        """What people call the grades, and between which ends they lie."""
        ...

    def overview(self) -> list[list[str]]:
        """Label and value pairs about the source that a dry run shows, after `graded_rows` if it is given feedback."""
        ...

    def feedback_name(self) -> str:
        """A readable word for the source of the feedback."""
        ...

    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that the feedback depends on; `model` only if it samples the policy."""
        ...

    def evaluation_keys(self) -> dict[str, Any]:
        """Everything that the metrics depend on, apart from the completions."""
        ...

    def evaluation_prompts(self, feedback: FeedbackRows) -> list[Prompt]:
        """The prompts that completions are evaluated on; nothing is trained on them."""
        ...

    def rollouts_planned(self) -> int:
        """How many completions the base policy has to make for the feedback; 0 when none.

        Raises:
            ConfigError: the source of the feedback is unknown, or one of its settings cannot be used.
        """
        ...

    def graded_rows(self, rollouts: Rollouts, folder: Path | None) -> FeedbackRows:
        """Graded rows with their splits; files about what was left out go to `folder` (`None`: nothing is written)."""
        ...

    def metrics(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]) -> dict[str, PerPrompt]:
        """The task's own metrics of sampled completions by column name, from those of each prompt; or none."""
        ...

    def result_columns(self) -> list[Column]:
        """The columns of `metrics` in the order of the table, the main one first."""
        ...


@runtime_checkable
class GradingTask(Protocol):
    """A task that grades new completions as the feedback is graded."""

    scorer: Any
    """What grades completions; `None` where only given grades are known: then it is never asked to."""

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> NDArray[np.float64]:
        """The score of each completion of its prompt, higher is better, `(completions,)`."""
        ...


def grader(task: Task) -> GradingTask | None:
    """The task as one that grades; `None` where only given grades are known."""
    return task if isinstance(task, GradingTask) and task.scorer is not None else None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a ranking of candidates gives: metrics by column name, and scores of what stands first, `(prompts, n)`."""

    metrics: dict[str, PerPrompt]
    scores: NDArray[np.float64] | None = None


@runtime_checkable
class RankingTask(Protocol):
    """A task that also measures how likely a model finds given completions. Nothing has to be sampled for that.

    Lists are aligned with the prompts; their arrays are `(candidates,)`.
    """

    def candidates(self, prompts: Sequence[Prompt]) -> list[list[str]]:
        """The completions of each prompt that are ranked."""
        ...

    def measured(self, prompts: Sequence[Prompt], log_probs: Sequence[Floats], tokens: Sequence[Floats]) -> Measured:
        """What a model's log-likelihoods (nats, summed over tokens) of the candidates say."""
        ...

    def references(self, prompts: Sequence[Prompt]) -> dict[str, Measured]:
        """The same by rules that need no language model, by their names."""
        ...

    def ranking_columns(self) -> list[Column]:
        """The columns of `measured` in the order of the table, the main one first."""
        ...
