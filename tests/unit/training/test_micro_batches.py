"""Planned micro-batches as TRL gets them, with one token per byte."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from gcsl_cli.data.records import FeedbackRow, FeedbackRows
from gcsl_cli.models.prompting import EncodedRow, Prompter
from gcsl_cli.training.branches import Branched
from gcsl_cli.training.examples import RowExamples
from gcsl_cli.training.micro_batches import IGNORED, PlanCollator, PlannedBatches
from gcsl_cli.training.plan import Plan
from tests.unit.goals.toy import toy_spec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FEEDBACK = [
    FeedbackRow("I wanted", " to go", 0.9, "a", "train", True),
    FeedbackRow("You", " ran", 0.1, "b", "train", False),
]


@pytest.fixture
def batches(tokenizer: "PreTrainedTokenizerBase") -> PlannedBatches:
    """Three micro-batches, the second with a single row."""
    columns = {
        "step": [0, 0, 0, 1, 1],
        "micro": [0, 0, 1, 2, 2],
        "row": [0, 1, 0, 1, 0],
        "goal": [0.9, 0.0, 0.0, 0.0, np.nan],
        "tokens": [0] * 5,
    }
    plan = Plan.of(**{name: np.array(values) for name, values in columns.items()})
    return PlannedBatches(plan, RowExamples(FeedbackRows.of(FEEDBACK), Prompter(tokenizer, toy_spec()), max_length=40))


def texts(batches: PlannedBatches, sequences: list[Branched]) -> list[str]:
    return [
        batches.examples.prompter.tokenizer.decode(row.input_ids) for sequence in sequences for row in sequence.rows
    ]


def alone(*rows: EncodedRow) -> dict[str, list[Branched]]:
    """Make an item of rows that share nothing."""
    return {"sequences": [Branched((row,), 0) for row in rows]}


def test_items_are_the_micro_batches_in_plan_order(batches: PlannedBatches) -> None:
    assert len(batches) == 3
    assert [texts(batches, item["sequences"]) for item in batches] == [
        ["Good text.\nI wanted to go<|end|>", "Bad text.\nYou ran"],
        ["Bad text.\nI wanted to go<|end|>"],
        ["Bad text.\nYou ran", "I wanted to go<|end|>"],
    ]


def test_dataset_contains_the_same_items(batches: PlannedBatches) -> None:
    dataset = batches.dataset()

    assert len(dataset) == 3
    assert [item["sequences"] for item in dataset] == [item["sequences"] for item in batches]
    assert dataset[2]["sequences"] == batches[2]["sequences"]


def test_weights_of_goals(batches: PlannedBatches, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Rows without a goal have weight 1; without weights the key is absent."""
    prompter = Prompter(tokenizer, toy_spec(weights=(0.1, 0.5, 1.0)))
    weighted = PlannedBatches(batches.plan, replace(batches.examples, prompter=prompter))

    assert [item["weights"] for item in weighted] == [[1.0, 0.1], [0.1], [0.1, 1.0]]
    assert [item["weights"] for item in weighted.dataset()] == [[1.0, 0.1], [0.1], [0.1, 1.0]]
    assert all("weights" not in item for item in batches)


def test_rows_are_truncated_at_the_length_limit(batches: PlannedBatches) -> None:
    """ "Good text.\\nI wanted" are 19 tokens."""
    row = batches.examples.prompter.rows(FEEDBACK[:1], [0.9], 21)[0]

    assert (len(row.input_ids), row.supervised, row.truncated) == (21, 2, True)


def test_micro_batch_is_padded_right_and_only_completions_are_supervised() -> None:
    rows = [EncodedRow([5, 6, 7, 8], 2, False, False), EncodedRow([9, 10], 1, False, False)]

    batch = PlanCollator(pad_id=0)([alone(*rows)])

    assert batch["input_ids"].tolist() == [[5, 6, 7, 8], [9, 10, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, 7, 8], [IGNORED, 10, IGNORED, IGNORED]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_eos_that_is_also_the_pad_token_is_still_supervised() -> None:
    rows = EncodedRow([5, 6, 1], 1, False, False), EncodedRow([5, 1], 1, False, False)
    batch = PlanCollator(pad_id=1)([alone(*rows)])

    assert batch["labels"].tolist() == [[IGNORED, 6, 1], [IGNORED, 1, IGNORED]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


def test_several_items_become_one_batch() -> None:
    """TRL may request more than one item at a time."""
    rows = [EncodedRow([5, 6], 1, False, False), EncodedRow([7, 8, 9], 1, False, False)]

    assert PlanCollator(0)([alone(rows[0]), alone(rows[1])])["input_ids"].tolist() == [[5, 6, 0], [7, 8, 9]]
