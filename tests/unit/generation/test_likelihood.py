"""Log-probabilities of completions in padded batches, compared with one plain forward pass per row."""

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
"""Goals that are prefixes of one another, an empty one, and one longer than the branch limit of the tests below."""


def naive(model: "PreTrainedModel", prompt: list[int], completion: list[int]) -> float:
    with torch.inference_mode():
        log_probs = model(input_ids=torch.tensor([prompt + completion])).logits[0].log_softmax(dim=-1)
    positions = range(len(prompt), len(prompt) + len(completion))
    return float(sum(log_probs[index - 1, (prompt + completion)[index]] for index in positions))


@pytest.mark.parametrize("tokens_per_batch", [1, 20, 2048])
def test_log_probs_match_a_plain_forward_pass(
    lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch, tokens_per_batch: int
) -> None:
    monkeypatch.setattr(likelihood, "TOKENS_PER_BATCH", tokens_per_batch)

    totals, counts = completion_log_probs(lively, ROWS)

    assert totals == pytest.approx([naive(lively, *row) for row in ROWS], rel=1e-5)
    assert counts.tolist() == [2, 1, 0, 7, 2]


def test_padding_does_not_shift_learned_positions(absolute: "PreTrainedModel") -> None:
    totals, _ = completion_log_probs(absolute, ROWS)

    assert totals == pytest.approx([naive(absolute, *row) for row in ROWS], rel=1e-5)


def test_empty_completion_has_log_prob_zero(lively: "PreTrainedModel") -> None:
    totals, counts = completion_log_probs(lively, [([70, 80], []), ([1], [])])

    assert (totals.tolist(), counts.tolist()) == ([0, 0], [0, 0])


def test_no_rows(lively: "PreTrainedModel") -> None:
    totals, counts = completion_log_probs(lively, [])

    assert (len(totals), len(counts)) == (0, 0)


def test_next_token_probabilities_sum_to_one(lively: "PreTrainedModel") -> None:
    vocabulary = lively.config.vocab_size
    totals, _ = completion_log_probs(lively, [([70, 80], [token]) for token in range(vocabulary)])

    assert np.exp(totals).sum() == pytest.approx(1, abs=1e-5)


def test_batches_contain_every_row_once_within_the_token_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorted 2, 3, 5, 9 with a limit of 10: 2 and 3 pad to 6 tokens, with 5 it would be 15; 5 and 9 are single."""
    monkeypatch.setattr(likelihood, "TOKENS_PER_BATCH", 10)

    assert likelihood._batches([9, 3, 5, 2]) == [[3, 1], [2], [0]]


def test_candidates_of_one_prompt_score_as_separate_rows(lively: "PreTrainedModel") -> None:
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
def test_several_prompts_share_forward_passes(
    lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch, tokens_per_batch: int
) -> None:
    """Results of longer and shorter sequences, with and without branches, come back in row order."""
    monkeypatch.setattr(likelihood, "TOKENS_PER_BATCH", tokens_per_batch)
    rows = [([5, 6, 7, 8, 9], [1, 2]), ([5, 6, 7, 3], [4]), ([50, 51], [52]), ([80, 81, 82], [9]), ([80, 81, 7], [])]

    totals, counts = shared_log_probs(lively, rows, np.array([0, 0, 1, 2, 2]))

    assert totals == pytest.approx([naive(lively, *row) for row in rows], rel=1e-5)
    assert counts.tolist() == [2, 1, 1, 1, 0]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", architectures.MODELS)
def test_cached_prompt_gives_the_scores_of_separate_rows(
    monkeypatch: pytest.MonkeyPatch, name: str, attention: str
) -> None:
    """Two prompts with many candidates, one of them with many goals; one prompt with one candidate and one with two."""
    monkeypatch.setattr(likelihood, "BRANCH_TOKENS", 10)
    model = architectures.lively(name, attention)
    prompts = [list(range(20, 34)), list(range(50, 60)), [70, 71, 72], [80, 81, 82, 83]]
    rows = [(prompts[0], candidate) for candidate in CANDIDATES]
    rows += [([*prompts[1], 90 - index, 3], candidate) for index, candidate in enumerate(CANDIDATES)]
    rows += [(prompts[2], [5, 6]), (prompts[3], [7]), (prompts[3], [8, 9])]
    index = np.repeat([0, 1, 2, 3], [7, 7, 1, 2])

    totals, counts = shared_log_probs(model, rows, index)

    exact, exact_counts = completion_log_probs(model, rows)
    assert totals == pytest.approx(exact, rel=1e-5, abs=1e-5)
    assert totals == pytest.approx([naive(model, *row) for row in rows], rel=1e-5, abs=1e-5)
    assert counts.tolist() == exact_counts.tolist()


def test_cached_prompt_does_not_shift_learned_positions(
    absolute: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likelihood, "BRANCH_TOKENS", 10)
    totals, _ = score_completions(absolute, [5, 17, 29, 41], CANDIDATES)

    assert totals == pytest.approx([naive(absolute, [5, 17, 29, 41], one) for one in CANDIDATES], rel=1e-5)


def test_shared_log_probs_without_rows(lively: "PreTrainedModel") -> None:
    totals, counts = shared_log_probs(lively, [], np.zeros(0, dtype=np.int64))

    assert (len(totals), len(counts)) == (0, 0)


Shape = tuple[int, ...]


def passes(model: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch, *, keeps: bool = True) -> list[Shape]:
    """Record the shape of the input ids of each forward pass from now on; optionally disable the cache."""
    sizes = []
    forward = model.forward

    def counted(*args: Any, **inputs: Any) -> Any:
        sizes.append(tuple(inputs["input_ids"].shape))
        return forward(*args, **inputs if keeps else inputs | {"past_key_values": None, "use_cache": False})

    monkeypatch.setattr(model, "forward", counted)
    return sizes


def test_few_candidates_take_one_forward_pass(lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty candidates of two tokens after a prompt of ten; nothing is predicted from the last token of each."""
    sizes = passes(lively, monkeypatch)
    score_completions(lively, list(range(20, 30)), [[40 + index, 3] for index in range(20)])

    assert sizes == [(1, 10 + 20)]


def test_many_candidates_continue_from_the_cached_prompt(
    lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine tokens are cached; the tenth, which predicts, follows with five candidates of two tokens per pass."""
    prompt, candidates = list(range(20, 30)), [[40 + index, 3] for index in range(18)]
    expected = score_completions(lively, prompt, candidates)[0]
    monkeypatch.setattr(likelihood, "BRANCH_TOKENS", 10)
    sizes = passes(lively, monkeypatch)
    totals, _ = score_completions(lively, prompt, candidates)

    assert sizes == [(1, 9), *[(1, 1 + 5)] * 3, (1, 1 + 3)]
    assert totals == pytest.approx(expected, rel=1e-5)


def test_many_goals_continue_from_the_cached_prefix(lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch) -> None:
    """Four tokens are cached, even for a goal longer than the branch limit."""
    monkeypatch.setattr(likelihood, "BRANCH_TOKENS", 10)
    prompt, goals, completion = [5, 17, 29, 41], [[70, 71], [72, 73], [*range(80, 92)], [74]], [60, 61, 62]
    sizes = passes(lively, monkeypatch)
    totals, _ = score_completions(lively, prompt, [completion] * 4, goals)
    monkeypatch.undo()

    assert sizes == [(1, 4), (1, 2 * 4), (1, 14), (1, 3)]
    assert totals == pytest.approx([naive(lively, prompt + goal, completion) for goal in goals], rel=1e-5)


def test_model_without_cache_recomputes_the_prompt(lively: "PreTrainedModel", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "BRANCH_TOKENS", 10)
    prompt, candidates = list(range(20, 30)), [[40 + index, 3] for index in range(18)]
    sizes = passes(lively, monkeypatch, keeps=False)
    totals, _ = score_completions(lively, prompt, candidates)
    monkeypatch.undo()

    assert sizes == [(1, 9), *[(1, 10 + 5)] * 3, (1, 10 + 3)]
    assert totals == pytest.approx([naive(lively, prompt, one) for one in candidates], rel=1e-5)
