"""vLLM's worker process, with a double of vLLM and, where GCSL_VLLM_PYTHON names its interpreter, with vLLM itself.

Tokens are compared with those of the backend hf. The double runs the same worker, step by step as vLLM does.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gcsl_cli.generation.backends.hf import HfSampler
from gcsl_cli.generation.backends.vllm_environment import VllmEnvironment
from gcsl_cli.generation.backends.vllm_process import Engines
from gcsl_cli.generation.backends.vllm_sampler import VllmSampler
from gcsl_cli.generation.sampling import Sampled, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedModel

END = 1
BEST = [[70, 80, 90], [100, 20], [33, 44, 55, 66, 77], [8, 9], [200, 100, 7]]
WORST = [[71, 80, 90, 91, 92], [101, 20], [34], [9, 9], [200, 100, 8, 7, 6, 5]]
GREEDY = Sampling(2, 8, temperature=0.001, top_p=0.9, guidance=0.0, batch_size=16)
FREE = replace(GREEDY, samples=8, temperature=1.0, top_p=1.0)
GUIDED = replace(GREEDY, guidance=2.0)
# vLLM needs a head size that its kernels support, which that of the other tiny models is not.
HEADS = {"hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> "PreTrainedModel":
    """A model whose next token depends on all tokens before it; in the folder of its name."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"vocab_size": 261, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 512}
        config = LlamaConfig(**HEADS, **sizes, initializer_range=0.3, pad_token_id=0, eos_token_id=END)
        made = LlamaForCausalLM(config).eval()
    folder = tmp_path_factory.mktemp("heads-of-32")
    made.save_pretrained(folder)
    made.name_or_path = str(folder)
    return made


class Tokenizer:
    """Decodes token ids to the ids themselves."""

    pad_token_id, eos_token_id = 0, END

    def decode(self, ids: list[int], **options: Any) -> str:
        return " ".join(map(str, ids))


Make = Callable[..., VllmSampler]


@pytest.fixture(scope="module", params=["double", pytest.param("real", marks=pytest.mark.vllm)])
def make(request: pytest.FixtureRequest, model: "PreTrainedModel") -> Make:
    """Makes a sampler of the model, with vLLM or its double, and with further options of the engine."""
    real = request.param == "real"
    python = request.getfixturevalue("real_vllm" if real else "vllm_double")

    def made(engines: Engines, **options: Any) -> VllmSampler:
        options |= {"enforce_eager": True} if real else {}
        folder, tokenizer = Path(model.name_or_path), Tokenizer()
        return VllmSampler(engines, VllmEnvironment(python), folder, "float32", 512, tokenizer, [END], options)

    return made


@pytest.fixture(scope="module")
def vllm(make: Make) -> Iterator[VllmSampler]:
    """A sampler whose engine runs during all tests."""
    engines = Engines()
    with engines.kept():
        yield make(engines)


@pytest.fixture(scope="module")
def hf(model: "PreTrainedModel") -> HfSampler:
    return HfSampler(model, Tokenizer())


def ids(sampled: list[list[Sampled]]) -> list[list[list[int]]]:
    return [[[int(id_) for id_ in one.text.split()] for one in samples] for samples in sampled]


def test_greedy_tokens_are_those_of_hf(vllm: VllmSampler, hf: HfSampler) -> None:
    assert vllm.sample(BEST, None, [], GREEDY, 0) == hf.sample(BEST, None, [], GREEDY, 0)


def test_guided_greedy_tokens_are_those_of_hf(vllm: VllmSampler, hf: HfSampler) -> None:
    guided = vllm.sample(BEST, WORST, [], GUIDED, 0)

    assert guided == hf.sample(BEST, WORST, [], GUIDED, 0)
    plain = vllm.sample(BEST, None, [], GREEDY, 0)
    assert all(one != other for one, other in zip(guided, plain, strict=True))


def test_tokens_that_end_a_completion(vllm: VllmSampler, hf: HfSampler) -> None:
    """The second token of a greedy completion ends it, and counts."""
    second = ids(vllm.sample(BEST, None, [], GREEDY, 0))[0][0][1]
    ended = vllm.sample(BEST, None, [second], GREEDY, 0)

    assert ended == hf.sample(BEST, None, [second], GREEDY, 0)
    assert (ended[0][0].tokens, ended[0][0].finished) == (2, True)


def test_pairs_that_end_at_different_times(vllm: VllmSampler, hf: HfSampler) -> None:
    """A third of all tokens end a completion: pairs leave the batch one after another, and others move in it."""
    ends = list(range(0, 261, 3))
    guided = vllm.sample(BEST, WORST, ends, GUIDED, 0)

    assert guided == hf.sample(BEST, WORST, ends, GUIDED, 0)
    assert len({samples[0].tokens for samples in guided}) > 1


@pytest.mark.parametrize("against", [None, WORST])
def test_suppressed_tokens_are_never_drawn(vllm: VllmSampler, against: list[list[int]] | None) -> None:
    """Half of the vocabulary. Control tokens are suppressed the same way."""
    suppressed = set(range(2, 130))
    sampling = replace(FREE, guidance=0.5 if against else 0.0)
    free, kept = (
        {id_ for samples in ids(vllm.sample(BEST, against, [], one, 3)) for drawn in samples for id_ in drawn}
        for one in (sampling, replace(sampling, suppress=tuple(suppressed)))
    )

    assert len(free & suppressed) > 10
    assert len(kept) > 10
    assert not kept & suppressed


@pytest.mark.parametrize("against", [None, WORST])
def test_a_seed_gives_the_same_completions(vllm: VllmSampler, against: list[list[int]] | None) -> None:
    sampling = replace(FREE, guidance=0.5 if against else 0.0)
    first, again, other = (vllm.sample(BEST, against, [], sampling, seed) for seed in (1, 1, 2))

    assert first == again
    assert first != other
    assert all(len({one.text for one in samples}) > 1 for samples in first)


def test_top_p_leaves_out_unlikely_tokens(vllm: VllmSampler) -> None:
    """With hardly any probability to choose from, only the most likely token is left."""
    narrow = vllm.sample(BEST, None, [], replace(FREE, top_p=1e-4), 5)

    assert ids(narrow) == [[rows[0]] * 8 for rows in ids(vllm.sample(BEST, None, [], GREEDY, 0))]


def test_frequencies_are_the_probabilities(vllm: VllmSampler, model: "PreTrainedModel") -> None:
    """First tokens of 2,000 completions: the most likely ones are as frequent as they are likely, within 4 sigma."""
    import torch

    sampling = replace(FREE, samples=2000, max_new_tokens=1)
    first = [drawn[0] if drawn else END for drawn in ids(vllm.sample(BEST[:1], None, [], sampling, 7))[0]]
    with torch.inference_mode():
        likely = model(torch.tensor(BEST[:1])).logits[0, -1].softmax(-1)

    for token in likely.topk(3).indices.tolist():
        p = float(likely[token])
        assert abs(first.count(token) / 2000 - p) < 4 * (p * (1 - p) / 2000) ** 0.5


def test_pairs_that_fall_out_of_step_are_sampled_again(
    make: Make, hf: HfSampler, caplog: pytest.LogCaptureFixture
) -> None:
    """With room for twelve tokens of prompts in a step, the requests of some pairs are admitted in different steps."""
    engines = Engines()
    with engines.kept(), caplog.at_level(logging.DEBUG, "gcsl"):
        sampler = make(engines, max_num_batched_tokens=12, max_num_seqs=12)
        guided = sampler.sample(BEST, WORST, [], GUIDED, 0)

    assert "guided pairs fell out of step and were sampled again" in caplog.text
    assert guided == hf.sample(BEST, WORST, [], GUIDED, 0)
