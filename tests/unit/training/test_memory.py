"""Memory of a training step: against what autograd keeps, and by hand."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gcsl_cli.training.memory import Batch, Setup, Sizes, layer_bytes, memory
from tests.architectures import MODELS, SIZES

SEQUENCES, LENGTH, RANK = 4, 48, 4
SMALL = Sizes(layers=2, hidden=8, intermediate=16, heads=2, queries=8, keys=4, vocabulary=100)
BATCH = Batch(sequences=3, longest=10, supervised=6)


def kept(name: str, layers: int, setup: Setup) -> float:
    """Bytes per token that autograd keeps of the model's forward pass, its own weights left out."""
    from peft import LoraConfig, get_peft_model

    config: Any = MODELS[name]().config
    config.num_hidden_layers, config._attn_implementation = layers, setup.attention
    model = type(MODELS[name]())(config).train()
    if not setup.full:
        model = model.to(torch.bfloat16) if setup.bf16 else model
        model = get_peft_model(model, LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM"))
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    seen: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            seen[place] = tensor
        return tensor

    ids = torch.randint(3, 97, (SEQUENCES, LENGTH))
    mask = torch.ones_like(ids)
    mask[0, -5:] = 0
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=setup.bf16),
    ):
        decoder = model.get_base_model() if not setup.full else model
        output = decoder.model(input_ids=ids, attention_mask=mask, use_cache=False)
    assert output is not None
    return sum(tensor.untyped_storage().nbytes() for tensor in seen.values()) / ids.numel()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_a_layer_keeps_what_autograd_keeps(name: str, attention: str, *, full: bool, bf16: bool) -> None:
    """Within 6 %: row statistics of norms and attention are left out. Casts of weights are part of the weights."""
    sizes = Sizes.of(SimpleNamespace(**SIZES), normed_heads=name == "qwen3")
    assert sizes is not None
    setup = Setup(1, 1, adapter=0 if full else 1, rank=RANK, bf16=bf16, attention=attention)
    layer = kept(name, 2, setup) - kept(name, 1, setup)
    linear = 32 * (32 + 16 + 16 + 32 + 3 * 48)
    casts = 2 * linear / (SEQUENCES * LENGTH) if full and bf16 else 0

    assert layer == pytest.approx(layer_bytes(sizes, setup, LENGTH) + casts, rel=0.06)


def test_lora_by_hand() -> None:
    """A layer keeps 64 bytes for two norms, 4 * (16 + 32 + 64 + 14) for products and 40 for the mask, per token."""
    setup = Setup(parameters=1000, linear=800, adapter=50, rank=2)
    found = memory(SMALL, setup, BATCH)

    assert layer_bytes(SMALL, setup, 10) == 64 + 504 + 40
    assert (found.weights, found.gradients, found.optimizer) == (4000 + 200, 200, 400)
    assert found.activations == 30 * (2 * 608 + 3 * 32)
    assert found.logits == 6 * 100 * 4 * 8
    assert found.peak == 4200 + 400 + found.activations + found.logits


def test_weights_by_precision() -> None:
    """4.127 bits of 800 linear parameters are 413 bytes; the other 200 and the adapter's 50 have 2 each."""
    lora = Setup(parameters=1000, linear=800, adapter=50, rank=2, bf16=True)
    qlora = replace(lora, quantized=True)
    full = Setup(parameters=1000, linear=800, adapter=0, bf16=True)

    assert memory(SMALL, lora, BATCH).weights == 2000 + 200
    assert memory(SMALL, qlora, BATCH).weights == 413 + 400 + 100
    assert memory(SMALL, qlora, BATCH).optimizer == 200
    assert memory(SMALL, replace(qlora, double_quant=False), BATCH).weights == 450 + 400 + 100
    assert memory(SMALL, full, BATCH).weights == 4000 + 1600, "with autocast's copies"
    assert memory(SMALL, replace(full, reference=True), BATCH).weights == 4000 + 1600 + 2000


def test_gradients_meet_activations_only_from_the_second_pass_on() -> None:
    one = memory(SMALL, Setup(parameters=10**6, linear=800, adapter=0), BATCH)
    two = memory(SMALL, Setup(parameters=10**6, linear=800, adapter=0, passes=2), BATCH)

    assert one.peak == one.weights + one.optimizer + one.gradients
    assert two.peak == one.peak + two.activations + two.logits


def test_checkpointing_keeps_one_layer_and_the_inputs_of_all() -> None:
    setup = Setup(parameters=1000, linear=800, adapter=50, rank=2, checkpointing=True)

    assert memory(SMALL, setup, BATCH).activations == 30 * (608 + 2 * 32 + 3 * 32)


def test_logits_come_in_tiles() -> None:
    setup = Setup(parameters=1000, linear=800, adapter=50, device="cuda")
    large = replace(SMALL, vocabulary=150_000)

    assert memory(large, setup, Batch(64, 512, 20_000)).logits == 4096 * 32768 * 4


@pytest.mark.parametrize("config", [{}, SIZES | {"num_experts": 8}, {"n_embd": 8, "n_layer": 1}])
def test_other_architectures_are_not_guessed(config: dict[str, Any]) -> None:
    assert Sizes.of(SimpleNamespace(**config), normed_heads=False) is None
