"""Planned micro-batches as a dataset for TRL's trainers, and their collator."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.configs.choices import AFTER_PROMPT
from gcsl_cli.data.arrays import Bools, Floats, Ints
from gcsl_cli.models.prompting import EncodedRow
from gcsl_cli.training.branches import Branched, branched, packing_order
from gcsl_cli.training.plan import Plan

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from gcsl_cli.training.examples import Examples, RowExamples

IGNORED = -100
"""Label of unsupervised tokens, as in torch and transformers."""
PADDING = -1
"""Branch number of padding tokens."""


@dataclass(frozen=True)
class PlannedBatches:
    """One item per micro-batch, in plan order; rows are rendered and tokenized on access."""

    plan: Plan
    examples: "RowExamples"
    share: float | None = None
    """Maximum tokens of a sequence of rows with a common prefix; `None`: prefixes are not shared."""

    @cached_property
    def slices(self) -> list[slice]:
        """Plan rows of each micro-batch."""
        return list(self.plan.micro_batches())

    @cached_property
    def weighted(self) -> bool:
        """Whether rows have different loss weights."""
        given = bool(self.examples.prompter.spec.weights) or self.examples.weights is not None
        return given or bool((self.plan.weight != 1).any()) or self.copied

    @cached_property
    def copied(self) -> bool:
        """Whether rows have copies under goals that they miss."""
        return bool(np.isfinite(self.plan.missed).any())

    @cached_property
    def contrasted(self) -> bool:
        """Whether there are negative rows."""
        return self.copied or self.examples.negative is not None

    @cached_property
    def copy_weights(self) -> Floats:
        """Weight of the copy of each plan row relative to the row, `(planned rows,)`."""
        return self.plan.copy_weights(raw=self.examples.prompter.spec.level_rule == "raw")

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return `sequences`, and of every row in them its weight and its pair, if rows have weights or contrasts.

        A row and its copy under a missed goal have the same number in `pairs`, from 1, negative for the copy; other
        rows have 0.
        """
        plan, chosen, examples = self.plan, self.slices[index], self.examples
        rows, numbers, unit, copy = packed_rows(examples, plan, chosen, self.share)
        item: dict[str, Any] = {"sequences": branched(rows, numbers, self.share or math.inf)}
        if self.weighted:
            spec, weights = examples.prompter.spec, plan.weight[chosen]
            if examples.weights is not None:
                weights = weights * examples.weights[plan.row[chosen]]
            of_rows = weights * spec.weights_of(plan.goal[chosen])
            of_copies = weights * spec.weights_of(plan.missed[chosen]) * self.copy_weights[chosen]
            item["weights"] = np.where(copy, of_copies[unit], of_rows[unit]).tolist()
        if self.contrasted:
            negative = np.array([row.negative for row in rows])
            has_negative = np.bincount(unit, weights=negative) > 0
            pair = np.where(has_negative, np.cumsum(has_negative), 0)[unit]
            item["pairs"] = np.where(negative, -pair, pair).tolist()
        return item

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def dataset(self) -> "Dataset":
        """Wrap the items, created on access, in the `datasets.Dataset` that TRL requires."""
        from datasets import Dataset

        index = Dataset.from_dict({"micro_batch": range(len(self))})
        return index.with_transform(self._columns)

    def _columns(self, rows: dict[str, list[int]]) -> dict[str, list[Any]]:
        items = [self[index] for index in rows["micro_batch"]]
        return {key: [item[key] for item in items] for key in items[0]}


def packed_rows(
    examples: "Examples", plan: Plan, chosen: slice, share: float | None
) -> tuple[list[EncodedRow], Ints, Ints, Bools]:
    """The rows of the `chosen` planned rows as a forward pass packs them; returns the same as `packing_order`.

    `share`: maximum tokens of a sequence of rows with a common prefix; `None`: every row is a sequence of its own.
    """
    units = examples.encode(plan.row[chosen], plan.goal[chosen], plan.missed[chosen])
    numbers = np.arange(len(units)) if share is None else plan.sequence[chosen]
    apart = share is None or examples.prompter.spec.placement not in AFTER_PROMPT
    return packing_order(units, numbers, apart=apart)


@dataclass(frozen=True)
class PlanCollator:
    """Pad the sequences of a micro-batch on the right, or pack sequences with branches into one."""

    pad_id: int
    packed: bool = False
    """Concatenate all sequences without padding; for attention that skips masked blocks."""
    padding_free: bool = False
    """Concatenate sequences without branches, which start where `position_ids` is 0, and leave out the mask; for
    FlashAttention, which transformers then calls with the lengths of the sequences."""

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, "torch.Tensor"]:
        """Collate items into a batch; every tensor is `(sequences, longest)`, or `(1, tokens)` without padding.

        Returns:
            `input_ids`, `attention_mask` and `labels` as in transformers; `weights`, one per token, if rows have
            different weights; `pairs`, one per token of a completion, if there are negative rows (0 elsewhere);
            `position_ids` and `branches` (0 for shared tokens, 1 to k for branches, `PADDING` for padding) if a
            sequence has several branches; `segments`, the sequence of each token, if packed. Padding-free batches
            have `position_ids` and no mask.
        """
        import torch

        sequences: list[Branched] = [sequence for item in items for sequence in item["sequences"]]
        weights = iter([weight for item in items for weight in item.get("weights", ())])
        pairs = iter(_renumbered([item.get("pairs", []) for item in items]))
        size = len(sequences), max(sequence.tokens for sequence in sequences)
        ids = torch.full(size, self.pad_id)
        labels = torch.full(size, IGNORED)
        positions = torch.zeros(size, dtype=torch.long)
        branches = torch.full(size, PADDING)
        token_weights, token_pairs = torch.ones(size), torch.zeros(size, dtype=torch.long)
        for index, sequence in enumerate(sequences):
            shared = begin = sequence.shared
            prefix = sequence.rows[0].input_ids[:shared]
            ids[index, :shared] = torch.tensor(prefix, dtype=torch.long)
            positions[index, :shared] = torch.arange(shared)
            branches[index, :shared] = 0
            for number, row in enumerate(sequence.rows, start=1):
                tokens = torch.tensor(row.input_ids[shared:])
                end = begin + len(tokens)
                supervised = begin + row.prompt_tokens - shared
                ids[index, begin:end] = tokens
                if not row.negative:
                    labels[index, supervised:end] = ids[index, supervised:end]
                positions[index, begin:end] = torch.arange(shared, shared + len(tokens))
                branches[index, begin:end] = number
                token_weights[index, begin:end] = next(weights, 1.0)
                token_pairs[index, supervised:end] = next(pairs, 0)
                begin = end
        batch = {"input_ids": ids, "attention_mask": (branches != PADDING).long(), "labels": labels}
        if any("weights" in item for item in items):
            batch["weights"] = token_weights
        if any("pairs" in item for item in items):
            batch["pairs"] = token_pairs
        if any(len(sequence.rows) > 1 or sequence.shared for sequence in sequences):
            batch |= {"branches": branches, "position_ids": positions}
        if self.padding_free and "branches" not in batch:
            tokens = batch.pop("attention_mask").bool()
            return {key: tensor[tokens][None] for key, tensor in {**batch, "position_ids": positions}.items()}
        return _packed(batch) if self.packed and "branches" in batch else batch


def _renumbered(items: Sequence[Sequence[int]]) -> list[int]:
    """Number the pairs of all items through."""
    numbered: list[int] = []
    for pairs in items:
        before = max(numbered, default=0)
        numbered += [pair + before * ((pair > 0) - (pair < 0)) for pair in pairs]
    return numbered


def _packed(batch: dict[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    import torch

    tokens = batch["branches"] != PADDING
    segments = torch.arange(len(tokens))[:, None].expand_as(tokens)
    return {key: tensor[tokens][None] for key, tensor in {**batch, "segments": segments}.items()}
