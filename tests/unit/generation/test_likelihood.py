"""Log-probabilities of completions, in padded batches, against one plain forward a row."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from gcsl_cli.generation import likelihood
from gcsl_cli.generation.likelihood import completion_log_probs, score_completions, shared_log_probs

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


def test_candidates_of_one_prompt_are_scored_as_alone(lively: "PreTrainedModel") -> None:
    prompt = [5, 17, 29, 41]
    candidates = [[60, 61], [60, 62, 63], [64], [], [60, 61]]
    totals, counts = score_completions(lively, prompt, candidates)

    assert totals == pytest.approx([naive(lively, prompt, candidate) for candidate in candidates], rel=1e-5)
    assert counts.tolist() == [2, 3, 1, 0, 2]


def test_goals_between_prompt_and_completion_are_not_scored(lively: "PreTrainedModel") -> None:
    prompt, goals, completion = [5, 17, 29], [[70, 71], [70, 72, 73], []], [60, 61]
    totals, counts = score_completions(lively, prompt, [completion] * 3, goals)

    assert totals == pytest.approx([naive(lively, prompt + goal, completion) for goal in goals], rel=1e-5)
    assert counts.tolist() == [2, 2, 2]


@pytest.mark.parametrize("tokens_per_batch", [1, 30, 2048])
def test_several_prompts_share_passes(
    lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch, tokens_per_batch: int
) -> None:
    """Longer and shorter sequences, with branches and without, come back in the order of the rows."""
    monkeypatch.setattr(likelihood, "TOKENS_PER_BATCH", tokens_per_batch)
    rows = [([5, 6, 7, 8, 9], [1, 2]), ([5, 6, 7, 3], [4]), ([50, 51], [52]), ([80, 81, 82], [9]), ([80, 81, 7], [])]

    totals, counts = shared_log_probs(lively, rows, np.array([0, 0, 1, 2, 2]))

    assert totals == pytest.approx([naive(lively, *row) for row in rows], rel=1e-5)
    assert counts.tolist() == [2, 1, 1, 1, 0]


def sizes_of_passes(model: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Filled with the shape of each forward pass from now on."""
    sizes = []
    forward = model.forward

    def counted(*args: Any, **given: Any) -> Any:
        sizes.append(given["input_ids"].shape)
        return forward(*args, **given)

    monkeypatch.setattr(model, "forward", counted)
    return sizes


def test_the_prompt_is_computed_once(lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty candidates of two tokens after a prompt of ten: nine shared tokens, then three of each."""
    sizes = sizes_of_passes(lively, monkeypatch)
    score_completions(lively, list(range(20, 30)), [[40 + place, 3] for place in range(20)])

    assert sizes == [(1, 9 + 20 * 3)]


def test_many_candidates_are_several_sequences(lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory grows with the square of a sequence: 10 + 2 x 10 tokens take seven candidates of three after nine."""
    monkeypatch.setattr(likelihood, "BRANCH_TOKENS", 10)
    monkeypatch.setattr(likelihood, "TOKENS_PER_BATCH", 1)
    sizes = sizes_of_passes(lively, monkeypatch)
    prompt, candidates = list(range(20, 30)), [[40 + place, 3] for place in range(20)]
    totals, _ = score_completions(lively, prompt, candidates)

    assert sorted(sizes) == [(1, 9 + 6 * 3), (1, 9 + 7 * 3), (1, 9 + 7 * 3)]
    monkeypatch.undo()
    assert totals == pytest.approx(score_completions(lively, prompt, candidates)[0], rel=1e-5)
