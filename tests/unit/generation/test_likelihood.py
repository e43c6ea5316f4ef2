"""Log-probabilities of completions, in padded batches, against one plain forward a row."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from gcsl_cli.generation import likelihood
from gcsl_cli.generation.likelihood import completion_log_probs, score_completions, shared_log_probs
from tests import architectures

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS = [
    ([70, 80, 90], [20, 30]),
    ([5], [6]),
    ([33, 44, 55, 66, 77], []),
    ([100, 20], [40, 41, 42, 43, 44, 45, 46]),
    ([7, 8, 9, 10, 11, 12, 13, 14], [15, 1]),
]


CANDIDATES = [[60, 61], [60, 61, 62], [60], [], [9, 8, 7, 6, 5, 4, 3, 9, 8, 7, 6, 5], [60, 61], [30, 31, 32, 33]]
"""Beginnings of one another, none, and one that is longer than the branches of a sequence in the tests below."""


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


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", architectures.MODELS)
def test_a_prompt_that_is_kept_gives_the_values_of_rows_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, attention: str
) -> None:
    """Two prompts with many candidates, one with many goals too, one with a candidate and one with two."""
    monkeypatch.setattr(likelihood, "BRANCH_TOKENS", 10)
    model = architectures.lively(name, attention)
    prompts = [list(range(20, 34)), list(range(50, 60)), [70, 71, 72], [80, 81, 82, 83]]
    rows = [(prompts[0], candidate) for candidate in CANDIDATES]
    rows += [([*prompts[1], 90 - place, 3], candidate) for place, candidate in enumerate(CANDIDATES)]
    rows += [(prompts[2], [5, 6]), (prompts[3], [7]), (prompts[3], [8, 9])]
    index = np.repeat([0, 1, 2, 3], [7, 7, 1, 2])

    totals, counts = shared_log_probs(model, rows, index)

    exact, exact_counts = completion_log_probs(model, rows)
    assert totals == pytest.approx(exact, rel=1e-5, abs=1e-5)
    assert totals == pytest.approx([naive(model, *row) for row in rows], rel=1e-5, abs=1e-5)
    assert counts.tolist() == exact_counts.tolist()


def test_a_prompt_that_is_kept_does_not_shift_learned_positions(
    absolute: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likelihood, "BRANCH_TOKENS", 10)
    totals, _ = score_completions(absolute, [5, 17, 29, 41], CANDIDATES)

    assert totals == pytest.approx([naive(absolute, [5, 17, 29, 41], one) for one in CANDIDATES], rel=1e-5)


def test_no_prompts_share_nothing(lively: "PreTrainedModel") -> None:
    totals, counts = shared_log_probs(lively, [], np.zeros(0, dtype=np.int64))

    assert (len(totals), len(counts)) == (0, 0)


Shape = tuple[int, ...]


def passes(model: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch, *, keeps: bool = True) -> list[Shape]:
    """Filled with the shape of the tokens of each forward pass from now on; the model may refuse to keep any."""
    sizes = []
    forward = model.forward

    def counted(*args: Any, **given: Any) -> Any:
        sizes.append(tuple(given["input_ids"].shape))
        return forward(*args, **given if keeps else given | {"past_key_values": None, "use_cache": False})

    monkeypatch.setattr(model, "forward", counted)
    return sizes


def test_few_candidates_are_one_pass(lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty candidates of two tokens after a prompt of ten: nothing is predicted from the last token of each."""
    sizes = passes(lively, monkeypatch)
    score_completions(lively, list(range(20, 30)), [[40 + place, 3] for place in range(20)])

    assert sizes == [(1, 10 + 20)]


def test_many_candidates_go_on_from_a_prompt_that_is_computed_once(
    lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine tokens are kept; then the tenth, which predicts, with five candidates of two at a time: none has more."""
    prompt, candidates = list(range(20, 30)), [[40 + place, 3] for place in range(18)]
    expected = score_completions(lively, prompt, candidates)[0]
    monkeypatch.setattr(likelihood, "BRANCH_TOKENS", 10)
    sizes = passes(lively, monkeypatch)
    totals, _ = score_completions(lively, prompt, candidates)

    assert sizes == [(1, 9), *[(1, 1 + 5)] * 3, (1, 1 + 3)]
    assert totals == pytest.approx(expected, rel=1e-5)


def test_many_goals_go_on_from_the_tokens_before_them(
    lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four tokens are kept, also for a goal that is longer than the branches of a sequence."""
    monkeypatch.setattr(likelihood, "BRANCH_TOKENS", 10)
    prompt, goals, completion = [5, 17, 29, 41], [[70, 71], [72, 73], [*range(80, 92)], [74]], [60, 61, 62]
    sizes = passes(lively, monkeypatch)
    totals, _ = score_completions(lively, prompt, [completion] * 4, goals)
    monkeypatch.undo()

    assert sizes == [(1, 4), (1, 2 * 4), (1, 14), (1, 3)]
    assert totals == pytest.approx([naive(lively, prompt + goal, completion) for goal in goals], rel=1e-5)


def test_a_model_that_keeps_nothing_computes_the_prompt_again(
    lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likelihood, "BRANCH_TOKENS", 10)
    prompt, candidates = list(range(20, 30)), [[40 + place, 3] for place in range(18)]
    sizes = passes(lively, monkeypatch, keeps=False)
    totals, _ = score_completions(lively, prompt, candidates)
    monkeypatch.undo()

    assert sizes == [(1, 9), *[(1, 10 + 5)] * 3, (1, 10 + 3)]
    assert totals == pytest.approx([naive(lively, prompt, one) for one in candidates], rel=1e-5)
