"""Training examples: the units that a plan draws by index. Rows under goals are here; other kinds are their method's.

`encode` tokenizes an example, which is one row or several; the plan is measured with it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.models.prompting import EncodedRow, Prompter
from gcsl_cli.training.plan import Plan
from gcsl_cli.training.rows import PlannedBatches

if TYPE_CHECKING:
    from datasets import Dataset


class Examples(Protocol):
    """Examples made from feedback rows, drawn by a plan."""

    @property
    def feedback(self) -> FeedbackRows:
        """The rows that the examples are made from."""

    @property
    def prompter(self) -> Prompter:
        """Renders and tokenizes the rows."""

    @property
    def max_length(self) -> int | None:
        """Tokens per row; longer completions are cut. `None`: the model's context."""

    def __len__(self) -> int:
        """Number of examples."""

    def encode(self, index: Ints, goals: Floats) -> list[tuple[EncodedRow, ...]]:
        """The rows of each example `(n,)` under its goal `(n,)`, NaN for none."""

    def prompt(self, index: int) -> str:
        """The prompt of an example, to name it in an error."""

    def roles(self, index: int) -> tuple[str, ...]:
        """What each row of an example is to the loss: `supervised`, or `chosen` and `rejected`."""

    def planned(self, plan: Plan, share: float | None = None) -> Any:
        """The planned examples in the form that the method's trainer reads.

        `share`: maximum tokens of a sequence of rows with a common prefix; `None`: one row per sequence.
        """


@dataclass(frozen=True)
class RowExamples:
    """Rows, each under a goal or under none."""

    feedback: FeedbackRows
    prompter: Prompter
    max_length: int | None

    def __len__(self) -> int:
        return len(self.feedback)

    def encode(self, index: Ints, goals: Floats) -> list[tuple[EncodedRow, ...]]:
        """One row per example."""
        wanted = [None if math.isnan(goal) else goal for goal in goals.tolist()]
        return [(row,) for row in self.prompter.rows(list(self.feedback.take(index)), wanted, self.max_length)]

    def prompt(self, index: int) -> str:
        """The prompt of a row."""
        return self.feedback[index].prompt

    def roles(self, index: int) -> tuple[str, ...]:  # noqa: ARG002
        """The loss covers the completion."""
        return ("supervised",)

    def planned(self, plan: Plan, share: float | None = None) -> PlannedBatches:
        """The plan's micro-batches for TRL's SFTTrainer."""
        return PlannedBatches(plan, self.feedback, self.prompter, self.max_length, share)


def encoded_plan(examples: Examples, plan: Plan) -> Iterator[tuple[slice, list[int], list[EncodedRow]]]:
    """Yield every micro-batch of the plan in order: its slice, the example index of each row, and the rows."""
    for batch in plan.micro_batches():
        index = plan.row[batch]
        encoded = list(zip(index.tolist(), examples.encode(index, plan.goal[batch]), strict=True))
        numbers = [number for number, rows in encoded for _ in rows]
        yield batch, numbers, [row for _, rows in encoded for row in rows]


def lazy_dataset(plan: Plan, columns: Any) -> "Dataset":
    """A dataset with one item per planned row; `columns` turns places in the plan into columns when they are read."""
    from datasets import Dataset

    places = Dataset.from_dict({"place": range(len(plan.row))})
    return places.with_transform(lambda items: columns(np.asarray(items["place"], dtype=np.int64)))
