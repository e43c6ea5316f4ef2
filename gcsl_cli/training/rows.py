"""The planned micro-batches as a data set of TRL's trainer, and their collator."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gcsl_cli.prompting import EncodedRow, Prompter
from gcsl_cli.records import FeedbackRow
from gcsl_cli.training.plan import Plan

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

IGNORED = -100
"""The label of tokens that are not supervised, as in torch and transformers."""


@dataclass(frozen=True)
class PlannedBatches:
    """One item a micro-batch, in the order of the plan; rows are rendered and tokenized when they are asked for."""

    plan: Plan
    feedback: Sequence[FeedbackRow]
    prompter: Prompter
    max_length: int | None

    @cached_property
    def slices(self) -> list[slice]:
        """The plan's rows of each micro-batch."""
        return list(self.plan.micro_batches())

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        chosen = self.slices[index]
        pairs = zip(self.plan.row[chosen].tolist(), self.plan.level[chosen].tolist(), strict=True)
        return {"rows": [encode(self.prompter, self.feedback[row], level, self.max_length) for row, level in pairs]}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def dataset(self) -> "Dataset":
        """The same items as the `datasets.Dataset` that TRL asks for; they are made when they are read."""
        from datasets import Dataset

        index = Dataset.from_dict({"micro_batch": range(len(self))})
        return index.with_transform(lambda items: {"rows": [self[place]["rows"] for place in items["micro_batch"]]})


def encode(prompter: Prompter, row: FeedbackRow, level: int | None, max_length: int | None) -> EncodedRow:
    """Tokens of a feedback row under a goal."""
    return prompter.row(row.prompt, level, row.completion, finished=row.finished, max_length=max_length)


@dataclass(frozen=True)
class PlanCollator:
    """Pads the rows of one micro-batch on the right."""

    pad_id: int

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, "torch.Tensor"]:
        """`input_ids`, `attention_mask` and `labels`, all `(rows, longest)`."""
        import torch

        rows: list[EncodedRow] = [row for item in items for row in item["rows"]]
        longest = max(len(row.input_ids) for row in rows)
        ids = torch.full((len(rows), longest), self.pad_id)
        labels = torch.full((len(rows), longest), IGNORED)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for place, row in enumerate(rows):
            tokens = torch.tensor(row.input_ids)
            ids[place, : len(tokens)] = tokens
            labels[place, row.prompt_tokens : len(tokens)] = tokens[row.prompt_tokens :]
            mask[place, : len(tokens)] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}
