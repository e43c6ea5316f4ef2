"""Training examples: the units that a plan draws by index. Rows under goals are here; other kinds are their method's.

`encode` tokenizes an example, which is one row or several; the plan is measured with it.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gcsl_cli.data.arrays import Bools, Floats, Ints
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.models.prompting import EncodedRow, Prompter
from gcsl_cli.training.micro_batches import PlannedBatches
from gcsl_cli.training.plan import Plan

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

    def encode(self, index: Ints, goals: Floats, missed: Floats) -> list[tuple[EncodedRow, ...]]:
        """The rows of each example `(n,)` under its goal `(n,)`, NaN for none.

        Under goals, a row is followed by its copy under a goal that it misses, `(n,)`, NaN for none.
        """

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
    weights: Floats | None = None
    """Loss weight of each row, `(rows,)`; `None`: all are 1."""
    negative: Bools | None = None
    """Rows to be made less likely, `(rows,)`; `None`: none."""

    def __len__(self) -> int:
        return len(self.feedback)

    def encode(self, index: Ints, goals: Floats, missed: Floats) -> list[tuple[EncodedRow, ...]]:
        """One row per example, or the row and its copy."""
        rows = self._rows(index, goals)
        if self.negative is not None:
            pushed = self.negative[index].tolist()
            rows = [row.as_negative() if down else row for row, down in zip(rows, pushed, strict=True)]
        copied = np.flatnonzero(~np.isnan(missed))
        copies = dict(zip(copied.tolist(), self._rows(index[copied], missed[copied]), strict=True))
        return [(row, copies[n].as_negative()) if n in copies else (row,) for n, row in enumerate(rows)]

    def _rows(self, index: Ints, goals: Floats) -> list[EncodedRow]:
        wanted = [None if math.isnan(goal) else goal for goal in goals.tolist()]
        return self.prompter.rows(list(self.feedback.take(index)), wanted, self.max_length)

    def prompt(self, index: int) -> str:
        """The prompt of a row."""
        return self.feedback[index].prompt

    def roles(self, index: int) -> tuple[str, ...]:  # noqa: ARG002
        """The loss covers the completion."""
        return ("supervised",)

    def planned(self, plan: Plan, share: float | None = None) -> PlannedBatches:
        """The plan's micro-batches for TRL's SFTTrainer."""
        return PlannedBatches(plan, self, share)


def lazy_dataset(plan: Plan, columns: Any) -> "Dataset":
    """A dataset with one item per planned row; `columns` turns places in the plan into columns when they are read."""
    from datasets import Dataset

    places = Dataset.from_dict({"place": range(len(plan.row))})
    return places.with_transform(lambda items: columns(np.asarray(items["place"], dtype=np.int64)))
