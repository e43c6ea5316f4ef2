"""Control tokens: added, initialized, trained, merged, saved and never generated."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from gcsl_cli.configs.schema import AdapterConfig
from gcsl_cli.errors import ConfigError
from gcsl_cli.generation.sampling import Sampling, sample_prompts
from gcsl_cli.goals.control_tokens import add_tokens, extend_model, quiet_head
from gcsl_cli.goals.wording import goal_texts
from gcsl_cli.models.loading import export_model, load_model, load_tokenizer
from gcsl_cli.stages.trainer import peft_config
from gcsl_cli.training.loop import merge_adapter
from tests.unit.goals.toy import toy_spec
from tests.unit.training.runs import batches, trained

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NAMES = ("<|goal_0|>", "<|goal_1|>", "<|goal_2|>")
WORDS = ("bad", "fair text", "good")
SPEC = toy_spec(wording="token", texts=NAMES, words=WORDS, separator="")


def family(name: str, folder: Path) -> Path:
    """Save a tiny model of another family together with the tiny tokenizer."""
    import shutil

    from transformers import Gemma3ForCausalLM, Gemma3TextConfig, Qwen3Config, Qwen3ForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": 320 if name == "qwen3-padded" else 261,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": None,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "gemma3":
            model: Any = Gemma3ForCausalLM(Gemma3TextConfig(**sizes, tie_word_embeddings=True))
        else:
            model = Qwen3ForCausalLM(Qwen3Config(**sizes, tie_word_embeddings=name == "qwen3-tied"))
    tokenizer_files = list(folder.glob("token*"))
    target = folder.parent / name
    model.save_pretrained(target)
    for path in tokenizer_files:
        shutil.copy(path, target)
    return target


@pytest.fixture(params=["llama", "qwen3-tied", "qwen3-untied", "qwen3-padded", "gemma3"])
def folder(request: pytest.FixtureRequest, tiny_model: Path, tmp_path: Path) -> Path:
    if request.param == "llama":
        return tiny_model
    copied = tmp_path / "tokenizer"
    copied.mkdir()
    load_tokenizer(tiny_model).save_pretrained(copied)
    return family(request.param, copied)


def extended(folder: Path, *, untie: bool) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase", list[int]]:
    model, tokenizer = load_model(folder).to("cpu"), load_tokenizer(folder)
    ids = add_tokens(tokenizer, NAMES)
    extend_model(model, tokenizer, NAMES, WORDS, untie=untie)
    return model, tokenizer, ids


def embeddings(model: "PreTrainedModel") -> torch.Tensor:
    weight: torch.Tensor = model.get_input_embeddings().weight
    return weight.detach().clone()


def logits(model: "PreTrainedModel", ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        output: torch.Tensor = model.eval()(torch.tensor([ids])).logits
    return output


def test_control_tokens_are_single_tokens_and_skipped_in_decoding(tokenizer: "PreTrainedTokenizerBase") -> None:
    before = len(tokenizer)
    ids = add_tokens(tokenizer, NAMES)

    assert ids == [before, before + 1, before + 2]
    assert tokenizer("a<|goal_1|>b", add_special_tokens=False)["input_ids"][1:2] == [before + 1]
    assert tokenizer.decode([*ids, *tokenizer("ok")["input_ids"]], skip_special_tokens=True) == "ok"


def test_existing_token_name_is_rejected(tokenizer: "PreTrainedTokenizerBase") -> None:
    add_tokens(tokenizer, NAMES[:1])

    with pytest.raises(ConfigError, match=r"already has a token '<\|goal_0\|>'.*goal\.wording=language"):
        add_tokens(tokenizer, NAMES)


@pytest.mark.parametrize("untie", [False, True])
def test_embeddings_start_from_the_mean_of_their_words(folder: Path, *, untie: bool) -> None:
    """The tokenizer has one token per byte, so `fair text` is nine rows."""
    before = load_model(folder).to("cpu")
    plain = load_tokenizer(folder)("hello")["input_ids"]
    model, tokenizer, ids = extended(folder, untie=untie)
    old, new = embeddings(before), embeddings(model)

    for id_, word in zip(ids, WORDS, strict=True):
        of_word = tokenizer(word, add_special_tokens=False)["input_ids"]
        assert torch.allclose(new[id_], old[of_word].mean(dim=0))
    assert torch.equal(new[: min(ids)], old[: min(ids)])
    assert len(new) == max(len(old), len(tokenizer))
    # Predictions for a prompt without a goal are unchanged, except for the new tokens.
    assert torch.equal(logits(model, plain)[..., : min(ids)], logits(before, plain)[..., : min(ids)])


@pytest.mark.parametrize(
    ("phrase", "parts"),
    [("fair text", ["fa", "ir", " t", "ext"]), ("bad", ["b", "b", "a", "d"]), ("good", ["g", "o", "o", "d"])],
)
def test_several_tokens_of_a_level_divide_its_words(tiny_model: Path, phrase: str, parts: list[str]) -> None:
    model, tokenizer = load_model(tiny_model).to("cpu"), load_tokenizer(tiny_model)
    texts = goal_texts("token", [phrase, "other"], tokens=4)
    ids = add_tokens(tokenizer, texts)
    extend_model(model, tokenizer, texts, [phrase, "other"], untie=True)
    weights = embeddings(model)

    assert tokenizer(texts[0] + "a", add_special_tokens=False)["input_ids"][:-1] == ids[:4]
    assert len(ids) == 8
    for id_, part in zip(ids, parts, strict=False):
        of_part = tokenizer(part, add_special_tokens=False)["input_ids"]
        assert torch.allclose(weights[id_], weights[of_part].mean(dim=0))


@pytest.mark.parametrize("rate", [None, 0.05])
def test_control_tokens_can_have_a_separate_learning_rate(tiny_model: Path, tmp_path: Path, rate: float | None) -> None:
    """The first Adam step moves every weight by its learning rate, whatever the gradient; `trained` uses 0.01."""
    model, tokenizer, ids = extended(tiny_model, untie=True)
    start = embeddings(model)[ids]
    adapter = peft_config(AdapterConfig(name="lora", r=4), ids)
    planned = batches(tokenizer, SPEC, steps=1)
    result = trained(model, tokenizer, planned, tmp_path, adapter=adapter, control_token_learning_rate=rate)

    weights = dict(result.model.named_parameters())
    tokens = next(weight for name, weight in weights.items() if "trainable_tokens_delta" in name)
    assert (tokens - start).abs().max().item() == pytest.approx(rate or 0.01, rel=1e-3)
    lora = [weight.abs().max().item() for name, weight in weights.items() if "lora_B" in name]
    assert max(lora) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_logits_survive_training_merging_saving_and_reloading(folder: Path, tmp_path: Path, adapter: str) -> None:
    lora = adapter == "lora"
    model, tokenizer, ids = extended(folder, untie=lora)
    start = embeddings(model)
    config = peft_config(AdapterConfig(name=adapter, r=4), ids if lora else ())
    result = trained(model, tokenizer, batches(tokenizer, SPEC, steps=3), tmp_path / "run", adapter=config)
    prompt = tokenizer("<|goal_2|>I wanted")["input_ids"]
    expected = logits(result.model, prompt)
    whole = merge_adapter(result.model, extended(folder, untie=True)[0]) if lora else result.model
    export_model(whole, tokenizer, tmp_path / "model", None)
    again = load_model(tmp_path / "model").to("cpu")

    assert torch.allclose(logits(again, prompt), expected, atol=1e-5)
    assert torch.equal(logits(again, prompt), logits(whole, prompt))
    moved = (embeddings(again) != start).any(dim=1)
    assert moved[ids].all()
    assert lora is not bool(moved[: min(ids)].any())
    assert load_tokenizer(tmp_path / "model")("<|goal_2|>I wanted")["input_ids"] == prompt


def test_embeddings_are_trained_with_bf16_and_gradient_checkpointing(tiny_model: Path, tmp_path: Path) -> None:
    model, tokenizer, ids = extended(tiny_model, untie=True)
    config = peft_config(AdapterConfig(name="lora", r=4), ids)
    planned = batches(tokenizer, SPEC, steps=2)
    result = trained(
        model.to(torch.bfloat16), tokenizer, planned, tmp_path, adapter=config, bf16=True, gradient_checkpointing=True
    )
    base = extended(tiny_model, untie=True)[0]
    start = embeddings(base)

    whole = merge_adapter(result.model, base)

    assert (embeddings(whole) != start).any(dim=1).nonzero().flatten().tolist() == ids


def leaning(model: "PreTrainedModel") -> "PreTrainedModel":
    """Shift all embeddings, so that hidden states have a direction in common, as those of trained models do."""
    with torch.no_grad():
        model.get_input_embeddings().weight += 0.1
    return model


@pytest.mark.parametrize("untie", [False, True])
def test_a_server_without_our_list_draws_none_of_them(folder: Path, tmp_path: Path, *, untie: bool) -> None:
    """5,000 tokens of a saved model whose logits of all other tokens, and whose goals, are unchanged."""
    model, tokenizer, ids = extended(folder, untie=untie)
    leaning(model)
    prompt = tokenizer("<|goal_2|>I wanted")["input_ids"]
    start, before = embeddings(model), logits(model, prompt)
    quiet_head(model, tokenizer, NAMES, WORDS)
    export_model(model, tokenizer, tmp_path / "model", None)
    again = load_model(tmp_path / "model").to("cpu")
    after = logits(again, prompt)

    assert torch.equal(embeddings(again), start)
    others = [id_ for id_ in range(after.shape[-1]) if id_ not in ids]
    assert torch.allclose(after[..., others], before[..., others], atol=1e-6)
    again.generation_config.suppress_tokens = None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        inputs = torch.tensor([prompt] * 100)
        drawn = again.generate(inputs, do_sample=True, top_k=0, max_new_tokens=50, eos_token_id=None, pad_token_id=0)
    assert len(drawn[:, len(prompt) :].unique()) > 200
    assert not torch.isin(drawn[:, len(prompt) :], torch.tensor(ids)).any()


def test_in_any_context_they_are_no_more_probable_than_an_average_token(folder: Path) -> None:
    """Hidden states of a random model have nothing in common; pushing there would make them probable elsewhere."""
    model, tokenizer, ids = extended(folder, untie=True)
    quiet_head(model, tokenizer, NAMES, WORDS)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = logits(model, torch.randint(0, min(ids), (500,)).tolist()).log_softmax(-1)[..., ids]
    assert float(found.max()) <= -math.log(model.config.vocab_size - len(ids))
    assert model.config.tie_word_embeddings is False


def test_control_tokens_are_never_generated(tiny_model: Path, tmp_path: Path) -> None:
    """The random model could produce any of 264 tokens; plain `transformers` and our sampling avoid these."""
    model, tokenizer, ids = extended(tiny_model, untie=True)
    export_model(model, tokenizer, tmp_path, None)
    model = load_model(tmp_path).to("cpu")
    prompt = tokenizer("<|goal_2|>I wanted")["input_ids"]

    with torch.random.fork_rng():
        torch.manual_seed(0)
        inputs = torch.tensor([prompt] * 100)
        plain = model.generate(inputs, do_sample=True, top_k=0, max_new_tokens=30, eos_token_id=None, pad_token_id=0)
    sampling = Sampling(100, 30, 1.0, 1.0, 1.0, 100, tuple(ids))
    tokenizer.decode = lambda ids_, **_: " ".join(map(str, ids_))
    ours = sample_prompts(model, tokenizer, [prompt], [prompt], [], sampling, seed=0)

    assert not torch.isin(plain[:, len(prompt) :], torch.tensor(ids)).any()
    sampled = {int(id_) for sample in ours[0] for id_ in sample.text.split()}
    assert len(sampled) > 200
    assert not sampled & set(ids)
