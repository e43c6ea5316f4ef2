"""What is saved of a trained model: whole in the dtype of its base, or the adapter alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from gcsl_cli.configs.choices import Attention
from gcsl_cli.configs.schema import AdapterConfig, DistributedConfig, ExportConfig
from gcsl_cli.errors import ArtifactError
from gcsl_cli.models.loading import export_model, load_config, load_model, load_tokenizer, model_folder, with_adapter
from gcsl_cli.stages import trainer
from gcsl_cli.stages.saved_model import model_to_save
from gcsl_cli.stages.trainer import peft_config
from tests.unit.goals.toy import toy_spec

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SPEC = toy_spec()
ADAPTERS: dict[str, dict[str, Any]] = {
    "none": {"name": "none"},
    "lora": {},
    "dora": {"use_dora": True, "use_rslora": True},
    "orthogonal": {"init": "orthogonal"},
    "olora": {"init": "olora"},
    "pissa": {"init": "pissa_niter_1"},
    "qlora": {"name": "qlora"},
}


@pytest.fixture
def half_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model in bfloat16, as large models are published."""
    folder = tmp_path / "half"
    export_model(load_model(tiny_model, torch.bfloat16, on="cpu"), load_tokenizer(tiny_model), folder, None)
    return folder


def experiment(base: Path, adapter: AdapterConfig, *, merged: bool = True, uri: str = "") -> Any:
    """The parts of an experiment that an export reads."""
    config = SimpleNamespace(
        adapter=adapter,
        export=ExportConfig(merged),
        model=SimpleNamespace(uri=uri or str(base)),
        train=SimpleNamespace(attention=Attention.auto),
        distributed=DistributedConfig(),
    )
    return SimpleNamespace(config=config, base_path=base, start_path=base, model_config=load_config(base))


def adapter(name: str) -> AdapterConfig:
    if name == "qlora":
        pytest.importorskip("bitsandbytes")
    settings: dict[str, Any] = {"name": "lora", "r": 4, "alpha": 32} | ADAPTERS[name]
    return AdapterConfig(**settings)


def trained(base: Path, config: AdapterConfig) -> "PreTrainedModel":
    """A model as training leaves it: every trainable weight has moved, at random."""
    from peft import get_peft_model

    model = trainer.trained_base(experiment(base, config), SPEC, bf16=False).to("cpu")
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        if (found := peft_config(config)) is not None:
            model = get_peft_model(model, found)
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape), alpha=0.05)
    return model


def logits(model: "PreTrainedModel") -> torch.Tensor:
    with torch.inference_mode():
        output: torch.Tensor = model.eval()(torch.tensor([[70, 80, 90]])).logits
    return output


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_saved_model_is_the_trained_one(tiny_model: Path, name: str) -> None:
    """Up to the rounding of 4 bits, where the base was in 4 bits."""
    config = adapter(name)
    result = trained(tiny_model, config)
    before, expected = logits(load_model(tiny_model, on="cpu")), logits(result)
    saved = model_to_save(experiment(tiny_model, config), SPEC, result)
    moved = (expected - before).abs().max()

    assert moved > 0.01
    assert not hasattr(saved, "peft_config")
    assert (logits(saved) - expected).abs().max() < (moved if config.quantized else 1e-5)


@pytest.mark.parametrize("name", ["none", "lora", "pissa"])
def test_it_has_the_dtype_of_its_base(half_model: Path, tmp_path: Path, name: str) -> None:
    config = adapter(name)
    saved = model_to_save(experiment(half_model, config), SPEC, trained(half_model, config))
    export_model(saved, load_tokenizer(half_model), tmp_path / "model", None)

    assert {weight.dtype for weight in saved.parameters()} == {torch.bfloat16}
    assert (tmp_path / "model/model.safetensors").stat().st_size == (half_model / "model.safetensors").stat().st_size


def test_merging_loads_no_second_model_on_the_device(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, places = adapter("lora"), []
    result = trained(tiny_model, config)

    def load(*arguments: Any, **options: Any) -> Any:
        places.append(options["on"])
        return load_model(*arguments, **options)

    monkeypatch.setattr(trainer, "load_model", load)
    model_to_save(experiment(tiny_model, config), SPEC, result)

    assert places == ["cpu"]


@pytest.mark.parametrize("name", ["lora", "dora", "qlora"])
def test_an_adapter_alone_is_loaded_by_plain_peft_and_by_gcsl(tiny_model: Path, tmp_path: Path, name: str) -> None:
    from peft import PeftModel

    config, folder = adapter(name), tmp_path / "model"
    result = trained(tiny_model, config)
    saved = model_to_save(experiment(tiny_model, config, merged=False), SPEC, result)
    export_model(saved, load_tokenizer(tiny_model), folder, None)
    merged = model_to_save(experiment(tiny_model, config), SPEC, result)
    plain = PeftModel.from_pretrained(load_model(tiny_model, on="cpu"), folder)
    ours = with_adapter(load_model(tiny_model, on="cpu"), folder)

    assert not (folder / "model.safetensors").exists()
    assert plain.peft_config["default"].base_model_name_or_path == str(tiny_model)
    for loaded in (plain, ours):
        assert torch.allclose(logits(loaded), logits(merged), atol=1e-5)


def test_an_adapter_names_its_base_on_the_hub(tiny_model: Path) -> None:
    config = adapter("lora")
    result = trained(tiny_model, config)
    saved: Any = model_to_save(experiment(tiny_model, config, merged=False, uri="hf://me/mine"), SPEC, result)

    assert saved.peft_config["default"].base_model_name_or_path == "me/mine"


def test_an_adapter_is_no_model_to_start_from(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")

    with pytest.raises(ArtifactError, match=r"an adapter, without the model.*export\.merged=true"):
        model_folder(str(tmp_path), None, None)


def test_a_broken_adapter_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}', encoding="utf-8")

    with pytest.raises(ArtifactError, match="the adapter cannot be loaded"):
        with_adapter(load_model(tiny_model, on="cpu"), tmp_path)
