"""4-bit bases: where they cannot be used, and what is loaded where they can."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gcsl_cli.errors import ConfigError, DependencyError
from gcsl_cli.models import quantization
from gcsl_cli.models.loading import load_config, load_model
from gcsl_cli.models.quantization import check_bitsandbytes, check_unquantized, nf4


def test_missing_package_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name))

    with pytest.raises(DependencyError, match=r'pip install "gcsl-cli\[qlora\]"'):
        check_bitsandbytes()


@pytest.mark.parametrize(("device", "supported"), [("cuda", True), ("mps", False)])
def test_devices_that_bitsandbytes_does_not_support_are_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, supported: bool
) -> None:
    fake: Any = SimpleNamespace(__version__="9.9", supported_torch_devices={"cpu", "cuda"}, __spec__=object())
    monkeypatch.setitem(sys.modules, "bitsandbytes", fake)
    monkeypatch.setattr(quantization, "device", lambda: device)
    if supported:
        check_bitsandbytes()
    else:
        with pytest.raises(ConfigError, match=r"bitsandbytes 9\.9 does not support .* mps; it supports cpu, cuda"):
            check_bitsandbytes()


@pytest.mark.parametrize(
    ("adapter", "why"),
    [("none", "quantized weights cannot be fine-tuned in full"), ("lora", "merged into unquantized weights")],
)
def test_models_that_are_quantized_already_are_refused(
    tiny_model: Path, tmp_path: Path, adapter: str, why: str
) -> None:
    check_unquantized(load_config(tiny_model), tiny_model, adapter)
    config = json.loads((tiny_model / "config.json").read_text(encoding="utf-8"))
    saved = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": saved}), encoding="utf-8")

    with pytest.raises(ConfigError, match=rf"adapter={adapter}: .* is quantized \(bitsandbytes\), and .*{why}"):
        check_unquantized(load_config(tmp_path), tmp_path, adapter)


def test_linear_layers_are_in_four_bits(tiny_model: Path) -> None:
    """All 14 of them; embeddings, norms and the head are not."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    model = load_model(tiny_model, quantization=nf4(torch.float32, double=True))
    layers = [module for module in model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]

    assert len(layers) == 14
    assert {layer.weight.quant_type for layer in layers} == {"nf4"}
    assert all(layer.weight.quant_state.nested for layer in layers)
    assert model.get_output_embeddings().weight.dtype == torch.float32
