"""Adapters through the real command line: saved alone, and trained on a base in 4 bits."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import outputs
from tests.commands import gcsl

Lines = Callable[[Path], list[str]]


def given(rtp: Path) -> list[str]:
    return ["task.feedback.source=rtp", f"task.feedback.path={rtp}", "task.feedback.texts=null", "adapter.r=4"]


def test_an_adapter_alone_is_sampled(tmp_path: Path, small_run: Lines, rtp: Path) -> None:
    """The folder holds what a served adapter needs, and its chat template asks for the best goal."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    lines = [*small_run(tmp_path / "runs"), *given(rtp), "task.format=chat", "adapter.use_dora=true"]
    ended = gcsl("generate", *lines, "export.merged=false", "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    run = Path(result["run"]).parents[1]
    folder = run / "model"
    goal = json.loads((folder / "goal.json").read_text(encoding="utf-8"))
    text = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        [{"role": "user", "content": "I"}], tokenize=False, add_generation_prompt=True
    )
    model = AutoPeftModelForCausalLM.from_pretrained(folder)
    magnitudes = {name: weight for name, weight in model.named_parameters() if "lora_magnitude_vector" in name}

    assert [path.name for path in folder.glob("*.safetensors")] == ["adapter_model.safetensors"]
    assert goal["texts"][-1] in text
    assert len(magnitudes) == 14
    assert all(torch.isfinite(weight).all() for weight in magnitudes.values())
    assert result["columns"]["completions"] == 16


def test_four_bits_while_training_and_none_in_the_export(
    tmp_path: Path, small_run: Lines, rtp: Path, tiny_model: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    lines = [*small_run(tmp_path / "runs"), *given(rtp), "adapter=qlora", "goal.placement=after_prompt"]
    ended = gcsl("train", *lines, "--json")
    assert ended.code == 0, ended.err
    run = Path(json.loads(ended.out)["run"])
    before, after = outputs.weights(tiny_model), outputs.weights(run / "model")
    moved = {name for name in before if not np.array_equal(before[name], after[name])}

    assert moved == {name for name in before if name.endswith("_proj.weight")}
    assert {name: weight.dtype for name, weight in after.items()} == {n: weight.dtype for n, weight in before.items()}
    assert max(float(np.abs(before[name] - after[name]).max()) for name in moved) < 0.05, "not rounded to 4 bits"
    assert "tokens_written_out" in json.loads((run / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("dry", ["false", "true"])
def test_what_this_machine_cannot_train_is_refused_before_any_work(
    tmp_path: Path, small_run: Lines, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, dry: str
) -> None:
    """A missing package, and a model that is quantized already; no feedback is sampled."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    quantized = tmp_path / "quantized"
    quantized.mkdir()
    config = json.loads((tiny_model / "config.json").read_text(encoding="utf-8"))
    saved = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (quantized / "config.json").write_text(json.dumps(config | {"quantization_config": saved}), encoding="utf-8")
    lines = [*small_run(tmp_path / "runs"), f"dry_run={dry}"]
    missing = gcsl("train", *lines, "adapter=qlora")
    full = gcsl("train", *lines, "adapter=none", f"model.uri={quantized}")

    assert (missing.code, full.code) == (2, 2)
    assert 'pip install "gcsl-cli[qlora]"' in missing.err
    assert "is quantized (bitsandbytes), and quantized weights cannot be fine-tuned in full" in full.err
    assert not list(tmp_path.rglob("*.parquet"))
