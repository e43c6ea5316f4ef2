"""Reward-weighted regression: supervised fine-tuning in which better rows weigh more, without goals.

The weight of a row is exp(score / temperature) (RWR: Peters & Schaal 2007; AWR: Peng et al. 2019, arXiv 1910.00177),
scaled to a mean of 1 over the training rows. Scores 0, 0, 1 with temperature 0.5 have the weights 0.32, 0.32, 2.36.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.configs import ranges
from gcsl_cli.data.arrays import Floats
from gcsl_cli.methods.base import ExampleInputs
from gcsl_cli.methods.sft import Supervised

if TYPE_CHECKING:
    from gcsl_cli.goals.spec import GoalSpec
    from gcsl_cli.training.examples import RowExamples
    from gcsl_cli.training.plan import Plan


@dataclass
class RewardWeighted(Supervised):
    """Supervised fine-tuning with weights that grow with the score."""

    name: str = "rwr"
    temperature: float | None = None
    max_weight: float = 20.0

    def examples(self, inputs: ExampleInputs) -> "RowExamples":
        """Every row with its weight."""
        weights = reward_weights(inputs.rows.scores, self.temperature, self.max_weight)
        return replace(super().examples(inputs), weights=weights)

    def held_out(self, examples: "RowExamples", inputs: ExampleInputs) -> "RowExamples":
        """Held-out rows with equal weights."""
        return super().examples(inputs)

    def problems(self, rows_per_pass: int) -> Iterator[str]:
        """Yield a message for a number out of its range."""
        yield from ranges.positive("method.temperature", self.temperature)
        yield from ranges.positive("method.max_weight", self.max_weight)

    def facts(self, spec: "GoalSpec") -> dict[str, Any]:
        """The temperature."""
        return {"method": self.name, "temperature": self.temperature or "one standard deviation"}

    def describe(self, examples: "RowExamples", spec: "GoalSpec", plan: "Plan") -> Iterator[list[str]]:
        """How unequal the weights are."""
        assert examples.weights is not None
        weights = np.sort(examples.weights)[::-1]
        half = int(np.searchsorted(np.cumsum(weights), weights.sum() / 2)) + 1
        text = f"{weights[-1]:.3g} to {weights[0]:.3g}; {half} of {len(weights)} rows have half of the total"
        yield ["weights", text]


def reward_weights(scores: Floats, temperature: float | None, most: float) -> Floats:
    """Loss weight of each row, `(rows,)`: exp(score / temperature) with a mean of 1, then at most `most`.

    Args:
        scores: higher is better, `(rows,)`.
        temperature: in units of the scores; `None`: their standard deviation.
        most: the largest weight, so that no row dominates a step.
    """
    spread = float(scores.std()) if temperature is None else temperature
    weights = np.exp((scores - scores.max()) / (spread or 1.0))
    clipped: Floats = np.minimum(weights / weights.mean(), most)
    return clipped
