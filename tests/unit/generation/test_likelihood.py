"""Log-probabilities of completions, in padded batches, against one plain forward a row."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from gcsl_cli.generation import likelihood
from gcsl_cli.generation.likelihood import completion_log_probs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS = [
    ([70, 80, 90], [20, 30]),
    ([5], [6]),
    ([33, 44, 55, 66, 77], []),
    ([100, 20], [40, 41, 42, 43, 44, 45, 46]),
    ([7, 8, 9, 10, 11, 12, 13, 14], [15, 1]),
]


def naive(model: "PreTrainedModel", prompt: list[int], completion: list[int]) -> float:
    with torch.inference_mode():
        log_probs = model(input_ids=torch.tensor([prompt + completion])).logits[0].log_softmax(dim=-1)
    places = range(len(prompt), len(prompt) + len(completion))
    return float(sum(log_probs[place - 1, (prompt + completion)[place]] for place in places))


@pytest.mark.parametrize("tokens_per_batch", [1, 20, 2048])
def test_it_equals_a_plain_forward(
    lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch, tokens_per_batch: int
) -> None:
    monkeypatch.setattr(likelihood, "TOKENS_PER_BATCH", tokens_per_batch)

    totals, counts = completion_log_probs(lively, ROWS)

    assert totals == pytest.approx([naive(lively, *row) for row in ROWS], rel=1e-5)
    assert counts.tolist() == [2, 1, 0, 7, 2]


def test_padding_does_not_shift_learned_positions(absolute: "PreTrainedModel") -> None:
    totals, _ = completion_log_probs(absolute, ROWS)

    assert totals == pytest.approx([naive(absolute, *row) for row in ROWS], rel=1e-5)


def test_an_empty_completion_is_certain(lively: "PreTrainedModel") -> None:
    totals, counts = completion_log_probs(lively, [([70, 80], []), ([1], [])])

    assert (totals.tolist(), counts.tolist()) == ([0, 0], [0, 0])


def test_no_rows(lively: "PreTrainedModel") -> None:
    totals, counts = completion_log_probs(lively, [])

    assert (len(totals), len(counts)) == (0, 0)


def test_all_next_tokens_sum_to_one(lively: "PreTrainedModel") -> None:
    vocabulary = lively.config.vocab_size
    totals, _ = completion_log_probs(lively, [([70, 80], [token]) for token in range(vocabulary)])

    assert np.exp(totals).sum() == pytest.approx(1, abs=1e-5)


def test_batches_hold_every_row_once_within_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorted 2, 3, 5, 9: 2 and 3 pad to 6 tokens of 10, a third row of 5 would make 15; 5 alone, 9 alone."""
    monkeypatch.setattr(likelihood, "TOKENS_PER_BATCH", 10)

    assert likelihood._batches([9, 3, 5, 2]) == [[3, 1], [2], [0]]
