"""The planned micro-batches as a data set of TRL's trainer, and their collator."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.data.records import FeedbackRow
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.training.branches import Branched, branched
from gcsl_cli.training.plan import Plan

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

IGNORED = -100
"""The label of tokens that are not supervised, as in torch and transformers."""
PADDING = -1
"""The branch of tokens that are none."""


@dataclass(frozen=True)
class PlannedBatches:
    """One item a micro-batch, in the order of the plan; rows are rendered and tokenized when they are asked for."""

    plan: Plan
    feedback: Sequence[FeedbackRow]
    prompter: Prompter
    max_length: int | None
    share: float | None = None
    """Tokens at most of a sequence of rows that begin alike; `None`: every row is a sequence by itself."""

    @cached_property
    def slices(self) -> list[slice]:
        """The plan's rows of each micro-batch."""
        return list(self.plan.micro_batches())

    @cached_property
    def weighted(self) -> bool:
        """Whether some rows count more than others."""
        return bool(self.prompter.spec.weights) or bool((self.plan.weight != 1).any())

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`sequences`, and `weights`, one a row, where they differ."""
        chosen = self.slices[index]
        goals = [None if math.isnan(goal) else goal for goal in self.plan.goal[chosen].tolist()]
        feedback = [self.feedback[row] for row in self.plan.row[chosen].tolist()]
        rows = self.prompter.rows(feedback, goals, self.max_length)
        numbers = np.arange(len(rows)) if self.share is None else self.plan.sequence[chosen]
        item: dict[str, Any] = {"sequences": branched(rows, numbers, self.share or math.inf)}
        if self.weighted:
            of_goals = np.array([self.prompter.spec.weight(goal) for goal in goals])
            item["weights"] = (of_goals * self.plan.weight[chosen]).tolist()
        return item

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def dataset(self) -> "Dataset":
        """The same items as the `datasets.Dataset` that TRL asks for; they are made when they are read."""
        from datasets import Dataset

        index = Dataset.from_dict({"micro_batch": range(len(self))})
        return index.with_transform(self._columns)

    def _columns(self, items: dict[str, list[int]]) -> dict[str, list[Any]]:
        made = [self[place] for place in items["micro_batch"]]
        return {key: [item[key] for item in made] for key in made[0]}


@dataclass(frozen=True)
class PlanCollator:
    """Pads the sequences of one micro-batch on the right, or packs those that branch into one."""

    pad_id: int
    packed: bool = False
    """All sequences on one line, without padding: for attention that skips what it need not see."""

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, "torch.Tensor"]:
        """The batch, every tensor `(sequences, longest)`.

        `input_ids`, `attention_mask` and `labels` as transformers has them; `weights`, one a token, where rows count
        differently; `branches` and `position_ids` where a sequence has several branches: 0 for the shared tokens, 1 to
        k for the branches, `PADDING` for none. Packed, every tensor is `(1, tokens)`, and `segments` says which
        sequence a token is of.
        """
        import torch

        sequences: list[Branched] = [sequence for item in items for sequence in item["sequences"]]
        weights = iter([weight for item in items for weight in item.get("weights", ())])
        size = len(sequences), max(sequence.tokens for sequence in sequences)
        ids = torch.full(size, self.pad_id)
        labels = torch.full(size, IGNORED)
        positions = torch.zeros(size, dtype=torch.long)
        branches = torch.full(size, PADDING)
        counted = torch.ones(size)
        for place, sequence in enumerate(sequences):
            shared = begin = sequence.shared
            first = sequence.rows[0].input_ids[:shared]
            ids[place, :shared] = torch.tensor(first, dtype=torch.long)
            positions[place, :shared] = torch.arange(shared)
            branches[place, :shared] = 0
            for number, row in enumerate(sequence.rows, start=1):
                tokens = torch.tensor(row.input_ids[shared:])
                end = begin + len(tokens)
                supervised = begin + row.prompt_tokens - shared
                ids[place, begin:end] = tokens
                labels[place, supervised:end] = ids[place, supervised:end]
                positions[place, begin:end] = torch.arange(shared, shared + len(tokens))
                branches[place, begin:end] = number
                counted[place, begin:end] = next(weights, 1.0)
                begin = end
        batch = {"input_ids": ids, "attention_mask": (branches != PADDING).long(), "labels": labels}
        if any("weights" in item for item in items):
            batch["weights"] = counted
        if any(len(sequence.rows) > 1 or sequence.shared for sequence in sequences):
            batch |= {"branches": branches, "position_ids": positions}
        return _packed(batch) if self.packed and "branches" in batch else batch


def _packed(batch: dict[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    import torch

    tokens = batch["branches"] != PADDING
    segments = torch.arange(len(tokens))[:, None].expand_as(tokens)
    return {key: tensor[tokens][None] for key, tensor in {**batch, "segments": segments}.items()}
