"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv 2402.01306) on rows labelled desirable or undesirable.

Scores 0.1, 0.9, 0.5 with the median as threshold: rows 1 and 2 are desirable, row 0 is not.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gcsl_cli.configs import ranges
from gcsl_cli.data.arrays import Bools, Floats, Ints
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.errors import DataError
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.methods.base import ExampleInputs, Method, TrainerInputs
from gcsl_cli.methods.preference import preference_trainer
from gcsl_cli.models.prompting import EncodedRow, Prompter
from gcsl_cli.training.examples import lazy_dataset
from gcsl_cli.training.plan import Plan

if TYPE_CHECKING:
    from datasets import Dataset

    from gcsl_cli.training.loop import MakeTrainer


@dataclass(frozen=True)
class LabelledExamples:
    """Rows with a label: desirable or not."""

    feedback: FeedbackRows
    labels: Bools
    """True for desirable, `(rows,)`."""
    prompter: Prompter
    max_length: int | None

    def __len__(self) -> int:
        return len(self.feedback)

    @property
    def cut(self) -> float:
        """The lowest score of a desirable row."""
        return float(self.feedback.scores[self.labels].min())

    def encode(self, index: Ints, goals: Floats, missed: Floats) -> list[tuple[EncodedRow, ...]]:
        """One row per example; a label is no goal."""
        rows = list(self.feedback.take(index))
        return [(row,) for row in self.prompter.rows(rows, [None] * len(rows), self.max_length)]

    def prompt(self, index: int) -> str:
        """The prompt of a row."""
        return self.feedback[index].prompt

    def roles(self, index: int) -> tuple[str, ...]:
        """The label."""
        return ("desirable" if self.labels[index] else "undesirable",)

    def planned(self, plan: Plan, share: float | None = None) -> "Dataset":
        """The plan's rows for TRL's KTOTrainer: `prompt_ids`, `completion_ids`, `KL_completion_ids`, `label`.

        As in TRL, the KL divergence from the reference model is estimated on mismatched rows: each prompt with the
        completion of the previous row in the micro-batch.
        """
        mates = np.empty(len(plan.row), dtype=np.int64)
        for batch in plan.micro_batches():
            mates[batch] = np.roll(np.arange(batch.start, batch.stop), 1)

        def columns(places: Ints) -> dict[str, Any]:
            needed = np.unique(np.concatenate([places, mates[places]]))
            rows = [row for (row,) in self.encode(plan.row[needed], plan.goal[needed], plan.missed[needed])]
            by_place = dict(zip(needed.tolist(), rows, strict=True))
            own = [by_place[place] for place in places.tolist()]
            return {
                "prompt_ids": [row.prompt_ids for row in own],
                "completion_ids": [row.completion_ids for row in own],
                "KL_completion_ids": [by_place[mate].completion_ids for mate in mates[places].tolist()],
                "label": [bool(label) for label in self.labels[plan.row[places]]],
            }

        return lazy_dataset(plan, columns)


@dataclass
class KTO(Method):
    """TRL's KTOTrainer on rows at or above a threshold and rows below it."""

    name: str = "kto"
    threshold: float | None = None
    beta: float = 0.1
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    uses_reference: ClassVar[bool] = True
    relative_cost: ClassVar[float] = 2.0
    """Beside DPO's reference pass, both models make a pass to estimate the KL divergence."""

    def examples(self, inputs: ExampleInputs) -> LabelledExamples:
        """Every row with its label."""
        threshold = None if self.threshold is None else inputs.scale.score(self.threshold)
        labels = desirable(inputs.rows.scores, threshold)
        return LabelledExamples(inputs.rows, labels, inputs.prompter, inputs.max_length)

    def held_out(self, examples: LabelledExamples, inputs: ExampleInputs) -> LabelledExamples:
        """Held-out rows, labelled by the threshold of the training rows."""
        labels = inputs.rows.scores >= examples.cut
        return LabelledExamples(inputs.rows, labels, inputs.prompter, inputs.max_length)

    def trainer(self, inputs: TrainerInputs) -> "MakeTrainer":
        """TRL's KTOTrainer."""
        from trl import KTOConfig, KTOTrainer

        weights = {"desirable_weight": self.desirable_weight, "undesirable_weight": self.undesirable_weight}
        return preference_trainer(KTOTrainer, KTOConfig, inputs, beta=self.beta, **weights)

    def problems(self, rows_per_pass: int) -> Iterator[str]:
        """Yield a message for a batch, threshold or weight that cannot be used."""
        if rows_per_pass < 2:
            yield (
                "method=kto with one row per forward pass: it compares each row with another row of the pass. Use a "
                "larger train.batch_size or train.micro_batch_size."
            )
        if self.threshold is not None and not math.isfinite(self.threshold):
            yield f"method.threshold={self.threshold}: must be a finite grade, or null for the median."
        yield from ranges.positive("method.beta", self.beta)
        yield from ranges.not_negative("method.desirable_weight", self.desirable_weight)
        yield from ranges.not_negative("method.undesirable_weight", self.undesirable_weight)
        if not self.desirable_weight + self.undesirable_weight > 0:
            yield "method.desirable_weight and method.undesirable_weight are both 0: nothing would be learned."

    def facts(self, spec: GoalSpec) -> dict[str, Any]:
        """The threshold and the KL penalty."""
        return {"method": self.name, "threshold": self.threshold or "median", "beta": self.beta}

    def describe(self, examples: LabelledExamples, spec: GoalSpec, plan: Plan) -> Iterator[list[str]]:
        """Number of desirable and of other rows."""
        count, grade = int(examples.labels.sum()), spec.scale.grade(examples.cut)
        yield ["labels", f"{count} desirable rows (from {grade:.3g} on), {len(examples) - count} others"]


def desirable(scores: Floats, threshold: float | None) -> Bools:
    """Labels `(rows,)`: True where the score is at least `threshold`, by default the median.

    Raises:
        DataError: all rows have the same label.
    """
    cut = float(np.median(scores)) if threshold is None else threshold
    labels = scores >= cut
    if labels.all() or not labels.any():
        raise DataError(
            f"{'All' if labels.all() else 'No'} rows have a score of at least {cut:g} (scores: {scores.min():g} to "
            f"{scores.max():g}), but there must be rows of both kinds. Set another method.threshold."
        )
    return np.asarray(labels)
