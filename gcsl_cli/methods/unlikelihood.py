"""Unlikelihood training (Welleck et al. 2019, arXiv 1908.04319) on poor rows, likelihood on the others, without goals.

The loss of a token of a poor row is -log(1 - p), that of other tokens -log p. Scores 0.1, 0.9, 0.5 with the median as
threshold: row 0 is poor.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gcsl_cli.configs import ranges
from gcsl_cli.methods.base import ExampleInputs, TrainerInputs
from gcsl_cli.methods.kto import desirable
from gcsl_cli.methods.sft import Supervised

if TYPE_CHECKING:
    from gcsl_cli.goals.spec import GoalSpec
    from gcsl_cli.training.examples import RowExamples
    from gcsl_cli.training.loop import MakeTrainer
    from gcsl_cli.training.plan import Plan


@dataclass
class Unlikelihood(Supervised):
    """Supervised fine-tuning that makes the tokens of poor rows less likely."""

    name: str = "unlikelihood"
    threshold: float | None = None
    weight: float = 1.0

    def examples(self, inputs: ExampleInputs) -> "RowExamples":
        """Every row, with those below the threshold marked as negative."""
        threshold = None if self.threshold is None else inputs.scale.score(self.threshold)
        return replace(super().examples(inputs), negative=~desirable(inputs.rows.scores, threshold))

    def held_out(self, examples: "RowExamples", inputs: ExampleInputs) -> "RowExamples":
        """All held-out rows, for their likelihood."""
        return super().examples(inputs)

    def trainer(self, inputs: TrainerInputs) -> "MakeTrainer":
        """TRL's SFTTrainer with the loss on negative rows."""
        from gcsl_cli.training.negatives import UnlikelihoodLoss

        return super().trainer(replace(inputs, negative_loss=UnlikelihoodLoss(self.weight)))

    def problems(self, rows_per_pass: int) -> Iterator[str]:
        """Yield a message for a threshold or weight that cannot be used."""
        yield from ranges.finite("method.threshold", self.threshold)
        yield from ranges.positive("method.weight", self.weight)

    def facts(self, spec: "GoalSpec") -> dict[str, Any]:
        """The threshold and the weight."""
        return {"method": self.name, "threshold": self.threshold or "median", "weight": self.weight}

    def describe(self, examples: "RowExamples", spec: "GoalSpec", plan: "Plan") -> Iterator[list[str]]:
        """Number of poor rows."""
        poor = 0 if examples.negative is None else int(examples.negative.sum())
        yield ["labels", f"{poor} poor rows, {len(examples) - poor} others"]
