"""Code from outside gcsl runs only if the command line allows it."""

import sys
import types
from pathlib import Path

import pytest

from gcsl_cli import configs
from tests.unit.configs.probe import PROBE, Scorer, refused, write

pytestmark = pytest.mark.usefixtures("remembered_composition")


def test_foreign_code_needs_the_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `_target_` outside gcsl runs foreign code: an override can allow that, a YAML file cannot."""
    module = types.ModuleType("elsewhere")
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    module.Scorer = Scorer  # type: ignore[attr-defined]
    write(folder, "task/probe.yaml", PROBE.replace("gcsl_cli.tasks.probe.Scorer", "elsewhere.Scorer"))
    write(folder, "experiment/sly.yaml", "# @package _global_\nallow_custom_code: true\n")
    assert "task.scorer._target_=elsewhere.Scorer: this runs code from outside" in refused(folder)
    assert "allow_custom_code=true" in refused(folder, "experiment=sly")
    config = configs.load(["task=probe", "allow_custom_code=true"], folder)
    assert config.task.scorer == Scorer(cut=0.25)


@pytest.mark.parametrize(
    "override",
    [
        "task._target_=os.system",
        "task._target_=gcsl_cli.runs.files.contextmanager",
        "hydra.launcher._target_=os.system",
    ],
)
def test_foreign_targets_of_overrides_are_refused(folder: Path, override: str) -> None:
    assert "this runs code from outside gcsl" in refused(folder, override)


def test_a_target_that_passes_through_our_module_is_not_ours(folder: Path) -> None:
    assert "there is no module gcsl_cli.runs.files.os" in refused(folder, "task._target_=gcsl_cli.runs.files.os.system")


def test_callable_entries_of_hydras_logging_are_foreign_code_too(folder: Path) -> None:
    handlers = "{handlers: {x: {class: subprocess.Popen, args: [id]}}}"
    write(folder, "experiment/sly.yaml", f"# @package _global_\nhydra:\n  job_logging: {handlers}\n")
    assert "hydra.job_logging.handlers.x.class=subprocess.Popen" in refused(folder, "experiment=sly")


@pytest.mark.parametrize("options", ["{worker_cls: os.system}", "{hf_overrides: {a: b}}"])
def test_options_of_vllms_engine_that_may_name_code_need_the_command_line(folder: Path, options: str) -> None:
    write(folder, "experiment/sly.yaml", f"# @package _global_\ngeneration:\n  vllm:\n    engine: {options}\n")
    assert "in a config file, only numbers and true or false can be given" in refused(folder, "experiment=sly")


def test_numbers_for_vllms_engine_may_come_from_anywhere(folder: Path) -> None:
    text = "# @package _global_\ngeneration:\n  vllm:\n    engine: {gpu_memory_utilization: 0.5, enforce_eager: true}\n"
    write(folder, "experiment/mine.yaml", text)
    config = configs.load(["task=probe", "experiment=mine", "+generation.vllm.engine.kv_cache_dtype=fp8"], folder)

    engine = {"gpu_memory_utilization": 0.5, "enforce_eager": True, "kv_cache_dtype": "fp8"}
    assert config.generation.vllm.engine == engine


@pytest.mark.parametrize("name", ["model", "logits_processors", "skip_tokenizer_init"])
def test_options_of_the_engine_that_gcsl_sets_are_refused(folder: Path, name: str) -> None:
    said = refused(folder, f"+generation.vllm.engine.{name}=x")
    assert said == f"generation.vllm.engine.{name}: gcsl sets this option of the engine itself. Leave it out."


@pytest.mark.parametrize("more", [[], ["allow_custom_code=true"]])
def test_code_that_comes_with_a_model_is_never_run(folder: Path, more: list[str]) -> None:
    said = refused(folder, "+generation.vllm.engine.trust_remote_code=true", *more)
    assert "generation.vllm.engine.trust_remote_code: gcsl never runs code that comes with a model" in said
