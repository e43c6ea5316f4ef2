"""How many processes a stage starts, and mistakes in their number."""

import importlib.util

import pytest

from gcsl_cli.configs import load
from gcsl_cli.errors import ConfigError, DependencyError
from gcsl_cli.stages.processes import to_start

FOUR_PASSES = ["train.batch_size=8", "train.micro_batch_size=2"]


@pytest.mark.parametrize(
    ("stage", "lines", "processes"),
    [
        ("train", [], 1),
        ("train", ["distributed.processes=4"], 4),
        ("evaluate", ["distributed.processes=2"], 2),
        ("generate", ["distributed.processes=2"], 2),
        ("prepare", ["distributed.processes=2"], 1),
        ("prepare", ["distributed.processes=2", "train.budget.seconds=60"], 2),
        ("train", ["distributed.processes=2", "dry_run=true"], 1),
    ],
)
def test_stages_that_train_start_processes(stage: str, lines: list[str], processes: int) -> None:
    assert to_start(stage, load([*FOUR_PASSES, *lines])) == processes


def test_one_per_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load([*FOUR_PASSES, "distributed=ddp"])
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert to_start("train", config) == 2

    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ConfigError, match=r"no GPU was found. Set a number"):
        to_start("train", config)


@pytest.mark.parametrize("stage", ["train", "generate", "evaluate"])
def test_zero3_without_deepspeed(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    """Found before any process starts; stages that do not train need no DeepSpeed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    config = load([*FOUR_PASSES, "distributed=zero3", "distributed.processes=2"])
    with pytest.raises(DependencyError, match=r'needs DeepSpeed: pip install "gcsl-cli\[deepspeed\]"'):
        to_start(stage, config)
    assert to_start("prepare", config) == 1


@pytest.mark.parametrize("lines", [[], ["distributed.processes=2"]])
def test_a_launcher_has_started_them(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")

    assert to_start("train", load([*FOUR_PASSES, *lines])) == 1


def test_a_launcher_has_started_another_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")

    with pytest.raises(ConfigError, match=r"processes=4 is 4, but the launcher has started 2 processes"):
        to_start("train", load([*FOUR_PASSES, "distributed.processes=4"]))


@pytest.mark.parametrize(
    ("lines", "fix"),
    [
        (["train.batch_size=8"], "Use train.micro_batch_size=2."),
        (["train.batch_size=8", "train.micro_batch_size=4"], "Use train.micro_batch_size=2."),
        (["train.batch_size=6"], "Use a multiple of 4 as train.batch_size."),
        (["train.tokens_per_batch=99", "train.batches_per_step=5"], "Use train.batches_per_step=8."),
    ],
)
@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_a_step_that_cannot_be_shared(lines: list[str], fix: str, dry_run: str) -> None:
    with pytest.raises(ConfigError) as error:
        to_start("train", load([*lines, "distributed.processes=4", f"dry_run={dry_run}"]))
    assert str(error.value).endswith(f"which 4 processes cannot share evenly. {fix}")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "gpus", "true"])
def test_no_number_of_processes(value: str) -> None:
    with pytest.raises(ConfigError, match=r"distributed.processes=.*: expected a positive number, gpu"):
        load([f"distributed.processes={value}"])
