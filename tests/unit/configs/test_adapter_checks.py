"""Adapters and exports that make no sense are refused, with the reason and the fix."""

from pathlib import Path

import pytest

from gcsl_cli import configs
from gcsl_cli.configs.choices import Precision
from tests.unit.configs.probe import refused

pytestmark = pytest.mark.usefixtures("remembered_composition")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("adapter.name=dora", "adapter.name=dora: no such adapter. Allowed: none, lora, qlora"),
        ("adapter.init=pisa", "adapter.init=pisa: no such initialization. Did you mean pissa?"),
        ("adapter.init=eva", "Allowed: default, gaussian, orthogonal, olora, pissa, pissa_niter_N"),
        ("adapter.init=pissa_niter_N", "adapter.init=pissa_niter_N: no such initialization"),
        ("adapter.init=orthogonal adapter.r=3", "the rank must be even. Use adapter.r=4"),
        ("adapter=qlora adapter.init=olora", "it changes weights that are in 4 bits"),
        ("method=dpo adapter.init=pissa_niter_4", "pissa_niter_4 moves a part of the base into the adapter"),
        ("method=kto adapter.init=olora", "the reference model is the base without its adapter"),
        ("adapter=none export.merged=false", "full fine-tuning has no adapter to save. Use adapter=lora"),
        ("adapter.init=pissa export.merged=false", "fits only the base that it has changed"),
        ("goal.wording=token export.merged=false", "control tokens are new rows of the base's embeddings"),
        (
            "adapter=qlora distributed.strategy=fsdp2",
            "adapter=qlora with distributed.strategy=fsdp2",
        ),
        ("adapter.init=pissa distributed.strategy=fsdp2", "Use adapter=lora with adapter.init=default"),
        ("adapter=qlora distributed.strategy=zero3", "adapter=qlora with distributed.strategy=zero3: it cannot"),
        ("train.gradient_checkpointing=maybe", "train.gradient_checkpointing=maybe: expected auto, true or false"),
    ],
)
def test_what_cannot_be_trained_or_exported_is_refused(folder: Path, overrides: str, said: str) -> None:
    assert said in refused(folder, *overrides.split())


@pytest.mark.parametrize(
    "overrides",
    [
        "adapter.init=pissa_niter_16",
        "adapter=qlora adapter.use_dora=true adapter.init=orthogonal export.merged=false",
        "method=dpo adapter.init=gaussian adapter.use_rslora=true export.merged=false",
        "adapter=none adapter.init=pissa",
        "train.gradient_checkpointing=false train.attention=eager",
    ],
)
def test_what_can_is_accepted(folder: Path, overrides: str) -> None:
    configs.load(["task=probe", *overrides.split()], folder)


def test_qlora_is_lora_on_four_bits(folder: Path) -> None:
    lora, qlora = (configs.load(["task=probe", f"adapter={name}"], folder).adapter for name in ("lora", "qlora"))

    assert (lora.quantized, qlora.quantized) == (False, True)
    assert (qlora.r, qlora.learning_rate, qlora.target_modules) == (lora.r, lora.learning_rate, lora.target_modules)
    assert (qlora.double_quant, qlora.compute_dtype) == (True, Precision.auto)
