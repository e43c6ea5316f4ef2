"""Models and tokenizers: loading from safetensors, converting once, exporting for plain `transformers`."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from gcsl_cli.errors import ArtifactError, ConfigError
from gcsl_cli.models import gguf as gguf_module
from gcsl_cli.models import loading
from gcsl_cli.models.loading import (
    context_length,
    end_tokens,
    export_model,
    load_config,
    load_model,
    load_tokenizer,
    model_folder,
    saved_context_length,
    saved_end_tokens,
    train_in_bf16,
)
from tests.tiny import make_tiny_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    return path


@pytest.fixture
def conversions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replace the conversion with a fake that records its calls, and use a temporary cache."""
    converted: list[Path] = []

    def convert(gguf: Path, folder: Path) -> None:
        converted.append(gguf)
        (folder / "config.json").write_text("{}", encoding="utf-8")

    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gguf_module, "_convert", convert)
    return converted


# Sources


def test_model_folder_is_used_directly(tiny_model: Path) -> None:
    assert model_folder(str(tiny_model), None, None) == tiny_model


def test_folder_without_a_model_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no config\.json; expected a model folder"):
        model_folder(str(tmp_path), None, None)


def test_gguf_file_is_converted_once(gguf: Path, conversions: list[Path]) -> None:
    first, second = model_folder(str(gguf), None, None), model_folder(str(gguf), None, None)

    assert first == second
    assert (first / "config.json").is_file()
    assert conversions == [gguf]


def test_gguf_files_with_the_same_name_are_different_models(
    gguf: Path, conversions: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / gguf.name
    other.write_bytes(b"GGUF")
    folders = [model_folder(str(path), None, None) for path in (gguf, other)]
    gguf.write_bytes(b"GGUF changed")
    folders.append(model_folder(str(gguf), None, None))

    assert len(set(folders)) == 3
    assert conversions == [gguf, other, gguf]


def test_failed_conversion_leaves_nothing_behind(
    gguf: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(gguf: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}", encoding="utf-8")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gguf_module, "_convert", broken)
        with pytest.raises(KeyboardInterrupt):
            model_folder(str(gguf), None, None)

    assert [path.name for path in (tmp_path / "cache" / "converted").iterdir() if path.is_dir()] == []
    assert (model_folder(str(gguf), None, None) / "config.json").is_file()


def test_invalid_gguf_file_is_rejected(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    gguf.write_bytes(b"GGUF\x03\x00\x00\x00" + b"\x00" * 100)

    with pytest.raises(ArtifactError, match=r"model\.gguf: cannot be read as GGUF"):
        model_folder(str(gguf), None, None)


# Loading


def test_tokenizer_pads_on_the_left(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)

    assert (tokenizer.padding_side, tokenizer.pad_token) == ("left", "<|pad|>")


def test_tokenizer_without_a_pad_token_uses_eos(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)

    assert load_tokenizer(tmp_path).pad_token == "<|end|>"


def test_folder_with_an_unknown_architecture_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nope"}', encoding="utf-8")

    with pytest.raises(ArtifactError, match="the config cannot be loaded"):
        load_config(tmp_path)


def test_folder_without_a_tokenizer_is_rejected(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_model / "config.json").read_bytes())

    with pytest.raises(ArtifactError, match="the tokenizer cannot be loaded"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_model_is_loaded_in_evaluation_mode_with_its_dtype(tiny_model: Path, dtype: torch.dtype | None) -> None:
    model = load_model(tiny_model, dtype)

    assert model.dtype == (dtype or torch.float32)
    assert not model.training


def test_missing_weights_are_rejected(tiny_model: Path, tmp_path: Path) -> None:
    """The config's third layer has no weights; the tied head does not count as missing."""
    config = json.loads((tiny_model / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes((tiny_model / "model.safetensors").read_bytes())

    with pytest.raises(ArtifactError, match=r"9 weights .* missing, starting with model\.layers\.2\.input_layernorm"):
        load_model(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "cut off", "pickle"])
def test_absent_truncated_or_pickled_weights_are_rejected(tiny_model: Path, tmp_path: Path, damage: str) -> None:
    (tmp_path / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    if damage == "cut off":
        (tmp_path / "model.safetensors").write_bytes((tiny_model / "model.safetensors").read_bytes()[:1000])
    elif damage == "pickle":
        torch.save(load_model(tiny_model).state_dict(), tmp_path / "pytorch_model.bin")

    with pytest.raises(ArtifactError, match="the weights cannot be loaded"):
        load_model(tmp_path)


def test_context_length(tmp_path: Path) -> None:
    assert context_length(load_model(make_tiny_model(tmp_path, context=64)).config) == 64
    assert context_length(SimpleNamespace()) is None


@pytest.mark.parametrize(("stated", "length"), [(64, 64), (None, 2048)])
def test_saved_context_length(tmp_path: Path, stated: int | None, length: int) -> None:
    """What the file does not state is the default of Llama."""
    config = {"model_type": "llama"} | ({"max_position_embeddings": stated} if stated else {})
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")

    assert saved_context_length(tmp_path) == length


@pytest.mark.parametrize(("own", "ends"), [(None, [1]), (3, [1, 3]), ([4, 1, 2], [1, 2, 4])])
def test_end_tokens_of_tokenizer_and_generation_config(
    tokenizer: "PreTrainedTokenizerBase", own: Any, ends: list[int]
) -> None:
    model: Any = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=own))

    assert end_tokens(tokenizer, model) == ends


@pytest.mark.parametrize("has_file", [True, False])
def test_end_tokens_of_a_model_that_is_not_loaded(tmp_path: Path, has_file: bool) -> None:
    """They are those of the loaded model, also where it has no generation config of its own."""
    folder = make_tiny_model(tmp_path / "model")
    generation, config = folder / "generation_config.json", folder / "config.json"
    if has_file:
        generation.write_text(json.dumps({"eos_token_id": [4, 2]}), encoding="utf-8")
    else:
        generation.unlink()
        config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | {"eos_token_id": 3}))
    tokenizer = load_tokenizer(folder)

    found = saved_end_tokens(tokenizer, folder)

    assert found == ([1, 2, 4] if has_file else [1, 3])
    assert found == end_tokens(tokenizer, load_model(folder))


# Precision


@pytest.mark.parametrize(
    ("precision", "quick", "bf16"),
    [("fp32", True, False), ("bf16", False, True), ("auto", True, True), ("auto", False, False)],
)
def test_auto_precision_uses_bf16_if_it_is_fast(
    precision: str, quick: bool, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "fast_bf16", lambda: quick)

    assert train_in_bf16(precision) is bf16
    assert loading.inference_dtype() == (torch.bfloat16 if quick else torch.float32)


def test_unknown_precision_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"train\.precision=fp16: unknown; one of auto, fp32, bf16"):
        train_in_bf16("fp16")


# Export


def test_exported_model_gives_the_same_logits(
    policy: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    export_model(policy, tokenizer, tmp_path, "{{ messages[0].content }}")
    ids = torch.tensor([[70, 80, 90]])

    with torch.inference_mode():
        assert torch.equal(AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits, policy(ids).logits)
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == "{{ messages[0].content }}"
    assert "chat_template" not in json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))


def test_export_without_a_template_keeps_the_original(
    policy: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", tmp_path: Path
) -> None:
    export_model(policy, tokenizer, tmp_path, None)

    assert load_tokenizer(tmp_path).chat_template == tokenizer.chat_template


def test_conversion_is_logged(gguf: Path, conversions: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gcsl")
    model_folder(str(gguf), None, None)

    assert "converting model.gguf to safetensors (once)" in caplog.text
