"""Goal guidance: the formula on two tokens, its cache against uncached forward passes, and no effect at weight 0."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from gcsl_cli.generation.guidance import GoalGuidance
from gcsl_cli.generation.sampling import Sampling, sample_prompts

if TYPE_CHECKING:
    from transformers import PreTrainedModel

END = 1
BEST = [[70, 80, 90], [100, 20], [33, 44, 55, 66, 77]]
WORST = [[71, 80, 90, 91, 92], [101, 20], [34]]
OTHER = [[12], [102, 21, 22], [35, 36]]


class Fixed:
    """A model with constant logits that records its inputs."""

    def __init__(self, probabilities: list[float]) -> None:
        self.logits = torch.tensor([[probabilities]]).log() + 5
        self.seen: list[dict[str, Any]] = []

    def __call__(self, **inputs: Any) -> SimpleNamespace:
        self.seen.append(inputs)
        return SimpleNamespace(logits=self.logits.expand(len(inputs["input_ids"]), -1, -1))


def test_the_formula_on_two_tokens() -> None:
    """worst 0.8, 0.2; best 0.5, 0.5; weight 1: best ** 2 / worst = 0.3125, 1.25, which normalizes to 0.2, 0.8."""
    model: Any = Fixed([0.8, 0.2])
    guidance = GoalGuidance(model, "cache", torch.tensor([[9]]), torch.ones(1, 3, dtype=torch.long), weight=1.0)

    guided = guidance(torch.tensor([[5]]), torch.tensor([[0.5, 0.5]]).log())

    assert guided.softmax(dim=-1).tolist() == [pytest.approx([0.2, 0.8])]


def test_sampled_tokens_are_fed_to_the_contrasted_prompt() -> None:
    """The contrasted prompt has three tokens, in the second row one of padding: positions 2 and 1, then 3 and 2."""
    model: Any = Fixed([0.5, 0.5])
    mask = torch.tensor([[1, 1, 1], [0, 1, 1]])
    guidance = GoalGuidance(model, "cache", torch.tensor([[9], [8]]), mask, weight=2.0)
    scores = torch.zeros(2, 2)

    guidance(torch.tensor([[5, 5], [6, 6]]), scores)
    guidance(torch.tensor([[5, 5, 0], [6, 6, 1]]), scores)

    first, second = model.seen
    assert (first["input_ids"].tolist(), first["position_ids"].tolist()) == ([[9], [8]], [[2], [1]])
    assert (second["input_ids"].tolist(), second["position_ids"].tolist()) == ([[0], [1]], [[3], [2]])
    assert second["attention_mask"].tolist() == [[1, 1, 1, 1], [0, 1, 1, 1]]
    assert first["past_key_values"] == second["past_key_values"] == "cache"


@pytest.mark.parametrize("weight", [0.5, 3.0])
def test_guided_greedy_decoding_matches_uncached_forward_passes(
    lively: "PreTrainedModel", ids_tokenizer: Any, weight: float
) -> None:
    sampling = Sampling(2, 6, temperature=1e-6, top_p=1.0, guidance=weight, batch_size=64)

    sampled = sample_prompts(lively, ids_tokenizer, BEST, WORST, [END], sampling, seed=0)

    for best, worst, samples in zip(BEST, WORST, sampled, strict=True):
        expected = naive(lively, best, worst, weight, steps=6)
        assert [sample.text for sample in samples] == [ids_tokenizer.decode(expected)] * 2


@pytest.mark.parametrize("weights", [(1.0, 2.0), (3.0, 0.5)])
def test_each_goal_to_steer_away_from_has_its_weight(
    lively: "PreTrainedModel", ids_tokenizer: Any, weights: tuple[float, float]
) -> None:
    """target + w_1 (target - worst) + w_2 (target - other), decoded greedily without a cache."""
    total = sum(weights)
    shares = tuple(weight / total for weight in weights)
    sampling = Sampling(2, 6, temperature=1e-6, top_p=1.0, guidance=total, batch_size=64, shares=shares)

    sampled = sample_prompts(lively, ids_tokenizer, BEST, [*WORST, *OTHER], [END], sampling, seed=0)

    for best, *others, samples in zip(BEST, WORST, OTHER, sampled, strict=True):
        expected: list[int] = []
        while len(expected) < 6 and END not in expected:
            target, first, second = (log_probs(lively, [*prompt, *expected]) for prompt in (best, *others))
            steered = target + weights[0] * (target - first) + weights[1] * (target - second)
            expected.append(int(steered.argmax()))
        assert [sample.text for sample in samples] == [ids_tokenizer.decode([i for i in expected if i != END])] * 2


def log_probs(model: "PreTrainedModel", ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(dim=-1)


def naive(model: "PreTrainedModel", best: list[int], worst: list[int], weight: float, steps: int) -> list[int]:
    generated: list[int] = []
    for _ in range(steps):
        with torch.inference_mode():
            target, against = (
                model(input_ids=torch.tensor([[*prompt, *generated]])).logits[0, -1].log_softmax(dim=-1)
                for prompt in (best, worst)
            )
        generated.append(int((against + (1 + weight) * (target - against)).argmax()))
        if generated[-1] == END:
            break
    return generated


def test_guidance_changes_samples(lively: "PreTrainedModel") -> None:
    """Otherwise the comparisons in this file would prove nothing."""
    plain, guided = ([naive(lively, *pair, weight, 6) for pair in zip(BEST, WORST, strict=True)] for weight in (0, 3))

    assert all(one != against for one, against in zip(plain, guided, strict=True))


def test_weight_zero_is_plain_sampling(lively: "PreTrainedModel", ids_tokenizer: Any) -> None:
    sampling = Sampling(5, 12, temperature=1.0, top_p=0.9, guidance=0.0, batch_size=64)

    guided, plain = (
        sample_prompts(lively, ids_tokenizer, BEST, against, [END], sampling, seed=3) for against in (WORST, None)
    )

    assert guided == plain
