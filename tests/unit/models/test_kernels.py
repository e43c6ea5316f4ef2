"""Liger's kernels, with a double of the package: they need a GPU."""

import importlib.machinery
import importlib.metadata
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, MambaConfig
from transformers.integrations import liger
from trl import SFTTrainer

from gcsl_cli.errors import ConfigError, DependencyError
from gcsl_cli.models.kernels import check_liger
from gcsl_cli.models.loading import load_tokenizer
from gcsl_cli.training.loop import common_arguments
from gcsl_cli.training.sft import sft_arguments
from tests.unit.training.test_loop import SETTINGS


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """The models that Liger was applied to, with its options; the double knows Llama only."""
    calls: list[tuple[Any, dict[str, Any]]] = []
    modules = {name: types.ModuleType(name) for name in ("liger_kernel", "liger_kernel.transformers")}
    modules["liger_kernel"].__spec__ = importlib.machinery.ModuleSpec("liger_kernel", None)
    known = modules["liger_kernel.transformers.monkey_patch"] = types.ModuleType("monkey_patch")
    known.__dict__["MODEL_TYPE_TO_APPLY_LIGER_FN"] = {"llama": None}
    apply = "_apply_liger_kernel_to_instance"
    modules["liger_kernel.transformers"].__dict__[apply] = lambda model, **options: calls.append((model, options))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(liger, "is_liger_kernel_available", lambda: True)
    return calls


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r'pip install "gcsl-cli\[liger\]"'):
        check_liger(LlamaConfig(), device="cuda")


def test_what_liger_cannot_do(applied: list[Any]) -> None:
    check_liger(LlamaConfig(), device="cuda")
    with pytest.raises(ConfigError, match=r"needs a CUDA GPU; this machine's device is cpu"):
        check_liger(LlamaConfig(), device="cpu")
    with pytest.raises(ConfigError, match=r"no kernels for models of type mamba; it has them for llama"):
        check_liger(MambaConfig(), device="cuda")


def test_trl_applies_it_to_layers_and_keeps_its_own_loss(applied: list[Any], tiny_model: Path, tmp_path: Path) -> None:
    """Liger's fused loss would leave no log-probabilities of tokens for row weights and missed goals."""
    arguments = common_arguments(replace(SETTINGS, liger=True), tmp_path, validated=False)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny_model))
    tokenizer = load_tokenizer(tiny_model)
    rows = [{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}]
    from datasets import Dataset

    trainer = SFTTrainer(
        model=model,
        args=sft_arguments(arguments),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()

    ((patched, options),) = applied
    assert patched is model
    assert options == {"fused_linear_cross_entropy": False}
    assert "loss" in trainer.state.log_history[0]
