"""What a method trains on: rows under goals, pairs of rows, rows with a label; a plan draws them by their index.

`encode` gives the tokens of an example, one row or two; the plan is measured by it, and data sets are made of it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.methods.preferences import Bools, Pairs
from gcsl_cli.models.prompting import EncodedRow, Prompter
from gcsl_cli.training.plan import Floats, Ints, Plan
from gcsl_cli.training.rows import PlannedBatches

if TYPE_CHECKING:
    from datasets import Dataset


class Examples(Protocol):
    """What a plan draws from."""

    def __len__(self) -> int:
        """How many there are."""

    def encode(self, index: Ints, goals: Floats) -> list[tuple[EncodedRow, ...]]:
        """The rows of each example `(n,)` under its goal `(n,)`, NaN for none."""

    def prompt(self, index: int) -> str:
        """The prompt of an example, to name it in an error."""


@dataclass(frozen=True)
class GoalExamples:
    """Rows, each under a goal or under none."""

    feedback: FeedbackRows
    prompter: Prompter
    max_length: int | None

    def __len__(self) -> int:
        return len(self.feedback)

    def encode(self, index: Ints, goals: Floats) -> list[tuple[EncodedRow, ...]]:
        """One row an example."""
        asked = [None if math.isnan(goal) else goal for goal in goals.tolist()]
        return [(row,) for row in self.prompter.rows(list(self.feedback.take(index)), asked, self.max_length)]

    def prompt(self, index: int) -> str:
        """The prompt of a row."""
        return self.feedback[index].prompt

    def planned(self, plan: Plan, share: float | None = None) -> PlannedBatches:
        """The plan's micro-batches for TRL's SFTTrainer.

        `share`: tokens at most of a sequence of rows that begin alike; `None`: every row is a sequence by itself.
        """
        return PlannedBatches(plan, self.feedback, self.prompter, self.max_length, share)


@dataclass(frozen=True)
class PairExamples:
    """Pairs of completions of one prompt."""

    feedback: FeedbackRows
    pairs: Pairs
    prompter: Prompter
    max_length: int | None

    def __len__(self) -> int:
        return len(self.pairs)

    def encode(self, index: Ints, goals: Floats) -> list[tuple[EncodedRow, ...]]:  # noqa: ARG002
        """Two rows an example, the chosen one first; a pair has no goal."""
        places = np.concatenate([self.pairs.chosen[index], self.pairs.rejected[index]])
        rows = self.prompter.rows(list(self.feedback.take(places)), [None] * len(places), self.max_length)
        return list(zip(rows[: len(index)], rows[len(index) :], strict=True))

    def prompt(self, index: int) -> str:
        """The prompt of a pair."""
        return self.feedback[int(self.pairs.chosen[index])].prompt

    def planned(self, plan: Plan) -> "Dataset":
        """The plan's pairs for TRL's DPOTrainer: `prompt_ids`, `chosen_ids`, `rejected_ids`."""
        return _lazy(plan, lambda places: self._columns(plan, places))

    def _columns(self, plan: Plan, places: Ints) -> dict[str, Any]:
        pairs = self.encode(plan.row[places], plan.goal[places])
        return {
            "prompt_ids": [_prompt(chosen) for chosen, _ in pairs],
            "chosen_ids": [_completion(chosen) for chosen, _ in pairs],
            "rejected_ids": [_completion(rejected) for _, rejected in pairs],
        }


@dataclass(frozen=True)
class LabelledExamples:
    """Rows that are to be learned (True) or to be avoided."""

    feedback: FeedbackRows
    labels: Bools
    prompter: Prompter
    max_length: int | None

    def __len__(self) -> int:
        return len(self.feedback)

    def encode(self, index: Ints, goals: Floats) -> list[tuple[EncodedRow, ...]]:  # noqa: ARG002
        """One row an example; a label is no goal."""
        rows = list(self.feedback.take(index))
        return [(row,) for row in self.prompter.rows(rows, [None] * len(rows), self.max_length)]

    def prompt(self, index: int) -> str:
        """The prompt of a row."""
        return self.feedback[index].prompt

    def planned(self, plan: Plan) -> "Dataset":
        """The plan's rows for TRL's KTOTrainer: `prompt_ids`, `completion_ids`, `KL_completion_ids`, `label`.

        The divergence from the reference model is estimated on prompts with the completion of another row of the
        micro-batch, the one before, as TRL does.
        """
        mates = np.empty(len(plan.row), dtype=np.int64)
        for batch in plan.micro_batches():
            mates[batch] = np.roll(np.arange(batch.start, batch.stop), 1)
        return _lazy(plan, lambda places: self._columns(plan, places, mates[places]))

    def _columns(self, plan: Plan, places: Ints, mates: Ints) -> dict[str, Any]:
        needed = np.unique(np.concatenate([places, mates]))
        rows = [row for (row,) in self.encode(plan.row[needed], plan.goal[needed])]
        of_place = dict(zip(needed.tolist(), rows, strict=True))
        own = [of_place[place] for place in places.tolist()]
        return {
            "prompt_ids": [_prompt(row) for row in own],
            "completion_ids": [_completion(row) for row in own],
            "KL_completion_ids": [_completion(of_place[mate]) for mate in mates.tolist()],
            "label": [bool(label) for label in self.labels[plan.row[places]]],
        }


def encoded_plan(examples: Examples, plan: Plan) -> Iterator[tuple[slice, list[int], list[EncodedRow]]]:
    """Every micro-batch of the plan in order: its place, its rows, and the index of the example of each row."""
    for batch in plan.micro_batches():
        index = plan.row[batch]
        encoded = list(zip(index.tolist(), examples.encode(index, plan.goal[batch]), strict=True))
        numbers = [number for number, rows in encoded for _ in rows]
        yield batch, numbers, [row for _, rows in encoded for row in rows]


def _lazy(plan: Plan, columns: Any) -> "Dataset":
    """A data set with one item a planned row, made when it is read."""
    from datasets import Dataset

    places = Dataset.from_dict({"place": range(len(plan.row))})
    return places.with_transform(lambda items: columns(np.asarray(items["place"], dtype=np.int64)))


def _prompt(row: EncodedRow) -> list[int]:
    return row.input_ids[: row.prompt_tokens]


def _completion(row: EncodedRow) -> list[int]:
    return row.input_ids[row.prompt_tokens :]
