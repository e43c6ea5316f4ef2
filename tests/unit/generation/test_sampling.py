"""Sampling with a prefill shared by all samples of a prompt, compared with plain `model.generate`."""

from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import GenerationConfig

from gcsl_cli.generation.sampling import Sampled, Sampling, sample_prompts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

END = 1
PROMPTS = [[70, 80, 90], [20], [33, 44, 55, 66, 77], [100, 101, 102]]
"""Different lengths, including a single token."""


def sampling(**changes: Any) -> Sampling:
    settings: dict[str, Any] = {
        "samples": 3,
        "max_new_tokens": 8,
        "temperature": 1.0,
        "top_p": 0.9,
        "guidance": 0.0,
        "batch_size": 64,
    }
    return Sampling(**(settings | changes))


@pytest.fixture
def sample(lively: "PreTrainedModel", ids_tokenizer: Any) -> Any:
    """Sample the prompts with some settings."""

    def draw(
        prompts: list[list[int]] = PROMPTS, seed: int = 0, end_ids: tuple[int, ...] = (END,), **changes: Any
    ) -> list[list[Sampled]]:
        return sample_prompts(lively, ids_tokenizer, prompts, None, end_ids, sampling(**changes), seed)

    return draw


@pytest.mark.parametrize("positions", ["lively", "absolute"])
@pytest.mark.parametrize("batch_size", [3, 6, 64])
def test_near_greedy_samples_match_greedy_generate(
    ids_tokenizer: Any, batch_size: int, positions: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(positions)
    settings = sampling(temperature=1e-6, batch_size=batch_size)
    sampled = sample_prompts(model, ids_tokenizer, PROMPTS, None, [END], settings, seed=0)

    for prompt, samples in zip(PROMPTS, sampled, strict=True):
        ids = torch.tensor([prompt])
        greedy = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8)
        text = ids_tokenizer.decode(greedy[0, len(prompt) :].tolist())
        assert [one.text for one in samples] == [text] * 3


def test_samples_match_generate_with_the_same_seed(lively: "PreTrainedModel", ids_tokenizer: Any, sample: Any) -> None:
    """Two prompts of equal length, so that generate gets the batch in the same order."""
    prompts = [[70, 80, 90], [100, 101, 102]]
    sampled = sample(prompts, seed=5)
    ids = torch.tensor(prompts).repeat_interleave(3, dim=0)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        drawn = lively.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, top_p=0.9, max_new_tokens=8
        )

    texts = [ids_tokenizer.decode(row) for row in drawn[:, 3:].tolist()]
    assert [one.text for samples in sampled for one in samples] == texts
    assert len(set(texts)) == 6


def test_seed_determines_samples_and_global_state_is_restored(sample: Any) -> None:
    before = torch.random.get_rng_state()

    assert sample(seed=1) == sample(seed=1)
    assert sample(seed=1) != sample(seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_results_keep_prompt_order_with_all_samples(sample: Any) -> None:
    forward, backward = sample(temperature=1e-6), sample(PROMPTS[::-1], temperature=1e-6)

    assert forward == backward[::-1]
    assert [len(samples) for samples in forward] == [3] * 4
    assert len({samples[0].text for samples in forward}) == 4


def test_finished_completion_counts_its_end_token(lively: "PreTrainedModel", ids_tokenizer: Any, sample: Any) -> None:
    """The second greedy token is declared an end token: one token of text, two in total."""
    ids = torch.tensor([PROMPTS[0]])
    greedy = lively.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=4)[
        0, 3:
    ].tolist()
    assert greedy[0] != greedy[1]

    ended = sample(PROMPTS[:1], temperature=1e-6, end_ids=(greedy[1], END))[0][0]
    cut = sample(PROMPTS[:1], temperature=1e-6, max_new_tokens=4)[0][0]

    assert ended == Sampled(str(greedy[0]), 2, True)
    assert cut == Sampled(ids_tokenizer.decode(greedy), 4, False)


def test_immediate_end_token_gives_an_empty_completion(lively: "PreTrainedModel", sample: Any) -> None:
    sampled = sample(end_ids=tuple(range(lively.config.vocab_size)))

    assert sampled == [[Sampled("", 1, True)] * 3] * 4


def test_samples_of_a_batch_end_independently(lively: "PreTrainedModel", sample: Any) -> None:
    """Every other token ends a text; whatever follows an end token is padding, not text."""
    ends = set(range(0, lively.config.vocab_size, 2))
    sampled = [one for samples in sample(seed=4, end_ids=tuple(ends)) for one in samples]

    assert len({one.tokens for one in sampled}) > 2
    for one in sampled:
        ids = [int(id_) for id_ in one.text.split()]
        assert not ends & set(ids)
        assert one.tokens == len(ids) + one.finished
        assert one.finished or one.tokens == 8


def test_special_tokens_are_not_decoded(policy: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    """The tiny model repeats the last token of its prompt, here `<|user|>` (id 2) and `a`."""
    prompts = [[2], [*tokenizer("a")["input_ids"]]]
    sampled = sample_prompts(policy, tokenizer, prompts, None, [END], sampling(temperature=1e-6), seed=0)

    assert sampled == [[Sampled("", 8, False)] * 3, [Sampled("a" * 8, 8, False)] * 3]


def test_generation_config_of_the_model_is_ignored(lively: "PreTrainedModel", sample: Any) -> None:
    """Published models preset temperature, top_k and even a repetition penalty; only our settings apply."""
    plain = sample(seed=7, max_new_tokens=16)
    own = lively.generation_config
    strange = GenerationConfig(
        do_sample=True,
        temperature=0.01,
        top_k=1,
        top_p=0.1,
        repetition_penalty=50.0,
        min_p=0.9,
        suppress_tokens=[40, 50],
    )
    lively.generation_config = strange
    try:
        assert sample(seed=7, max_new_tokens=16) == plain
        assert lively.generation_config is strange
    finally:
        lively.generation_config = own
