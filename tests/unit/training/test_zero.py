"""DeepSpeed's config as transformers and accelerate read it. DeepSpeed itself is not installed here."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate.utils.deepspeed import HfDeepSpeedConfig
from transformers import TrainingArguments
from transformers.integrations import deepspeed

from gcsl_cli.configs import load
from gcsl_cli.configs.choices import Strategy
from gcsl_cli.training.loop import _gathered, common_arguments
from gcsl_cli.training.zero import deepspeed_config, gathered_state
from tests.unit.training.test_loop import SETTINGS

ZERO = load(["distributed=zero3"]).distributed.zero


class CompleteConfig(deepspeed.HfTrainerDeepSpeedConfig, HfDeepSpeedConfig):
    """transformers' class with the base class of accelerate that it has if DeepSpeed is installed."""


def filled(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:
    """The config after transformers has filled in a trainer's arguments: two steps' worth of accumulation."""
    monkeypatch.setattr(deepspeed, "dep_version_check", lambda name: None)
    settings = replace(SETTINGS, accumulation=2, max_grad_norm=0.5, bf16=True, zero=ZERO)
    arguments = common_arguments(settings, folder, validated=False)
    given, names = arguments.pop("deepspeed"), set(TrainingArguments.__dataclass_fields__)
    config = CompleteConfig(given)
    kept = {key: value for key, value in arguments.items() if key in names}
    config.trainer_config_process(TrainingArguments(**kept, per_device_train_batch_size=1))
    return config


def test_transformers_fills_it_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A micro-batch is one data set item, so each process has 1 a pass; one process and 2 passes make 2 a step."""
    config = filled(monkeypatch, tmp_path)

    assert config.is_zero3()
    assert not config.mismatches
    assert config.get_value("bf16.enabled") is True
    assert config.get_value("gradient_clipping") == 0.5
    assert config.get_value("train_micro_batch_size_per_gpu") == 1
    assert config.get_value("gradient_accumulation_steps") == 2
    assert config.get_value("train_batch_size") == 2
    assert not config.is_offload()
    deepspeed.unset_hf_deepspeed_config()


def test_a_users_options_reach_it_but_not_another_stage() -> None:
    config = deepspeed_config({"stage": 2, "offload_param": {"device": "cpu"}})["zero_optimization"]
    assert config == {"stage": 3, "offload_param": {"device": "cpu"}, "stage3_gather_16bit_weights_on_model_save": True}


class Accelerator:
    """Gathers like accelerate: everything for the leader, nothing for the others."""

    def __init__(self, *, leads: bool) -> None:
        self.leads = leads

    def get_state_dict(self, model: Any) -> dict[str, Any] | None:
        return dict(model) if self.leads else None


def test_the_leader_gathers_and_transformers_forgets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As long as transformers knows a ZeRO-3 config, it partitions every model that it loads."""
    config = filled(monkeypatch, tmp_path)
    assert deepspeed.is_deepspeed_zero3_enabled()
    weights = {"embed.weight": 1, "head.weight": 1}
    trainer = SimpleNamespace(accelerator=Accelerator(leads=True), model_wrapped=weights)

    assert gathered_state(trainer) == weights
    assert not deepspeed.is_deepspeed_zero3_enabled()
    assert config.is_zero3()
    assert gathered_state(SimpleNamespace(accelerator=Accelerator(leads=False), model_wrapped=weights)) is None


def test_tied_weights_are_gathered_once() -> None:
    model: Any = SimpleNamespace(all_tied_weights_keys={"head.weight": "embed.weight"})
    trainer: Any = SimpleNamespace(
        accelerator=Accelerator(leads=True), model_wrapped={"embed.weight": 1, "head.weight": 1}
    )
    assert _gathered(trainer, model, replace(SETTINGS, zero=ZERO)) == {"embed.weight": 1}
    assert _gathered(trainer, model, SETTINGS) is None


def test_which_strategies_shard() -> None:
    assert [strategy.value for strategy in Strategy if strategy.shards] == ["fsdp2", "zero3"]
