"""The Python interface: compose a config, run a stage, get a typed result.

    from gcsl_cli import compose, evaluate

    result = evaluate(compose("task=toxicity", "goal=threshold", "generation.guidance=2"))
    result.metrics["base"]["expected_maximum_toxicity"].value

Each function does what the command of the same name does: it runs missing earlier stages, reuses finished work and
resumes interrupted work, in the same run folders. Mistakes raise a `GcslError`, Ctrl-C raises `KeyboardInterrupt`.
"""

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gcsl_cli.configs.schema import Config
    from gcsl_cli.data.records import Generation
    from gcsl_cli.metrics.bootstrap import Estimate


@dataclass(frozen=True)
class PrepareResult:
    """Levels, goal specification and batch plan of a run.

    Attributes:
        run: The run folder.
        goal: `goal.json`: levels, wording and placement.
        plan: `plan.parquet`: the rows, goals and token counts of every training step.
        rows: Training rows.
        steps: Optimizer steps in the plan.
        summary: What `gcsl prepare` prints, by label: rows, levels with how many rows reach each, plan size.
        reused: True if the run was already prepared.
    """

    run: Path
    goal: Path
    plan: Path
    rows: int
    steps: int
    summary: dict[str, str]
    reused: bool


@dataclass(frozen=True)
class TrainResult:
    """A trained model.

    Attributes:
        run: The run folder.
        model: A `transformers` model folder whose chat template asks for the best goal; an adapter folder of PEFT if
            `export.merged` is false.
        log: `log.jsonl`: loss, gradient norm and learning rate of every step.
        steps: Optimizer steps.
        tokens: Tokens processed, without padding.
        supervised_tokens: Tokens that the loss counts.
        training_loss: Mean loss over the last tenth of the steps.
        validation_loss: Loss on held-out rows after the last step; None without validation rows.
        seconds: Training time.
        reused: True if the run was already trained.
    """

    run: Path
    model: Path
    log: Path
    steps: int
    tokens: int
    supervised_tokens: int
    training_loss: float | None
    validation_loss: float | None
    seconds: float
    reused: bool


@dataclass(frozen=True)
class GenerateResult:
    """Completions of the evaluation prompts under one goal.

    Attributes:
        run: The folder of these completions, inside the run folder.
        completions_path: `generations.parquet`.
        count: Completions in the file.
        reused: True if the completions already existed.
        completions: The completions, read on first access; the samples of a prompt are consecutive.
    """

    run: Path
    completions_path: Path
    count: int
    reused: bool

    @cached_property
    def completions(self) -> "list[Generation]":
        """Read the completions."""
        from gcsl_cli.data.records import read_generations

        return read_generations(self.completions_path)


@dataclass(frozen=True)
class EvaluateResult:
    """Metrics of the trained and the base model, with bootstrap 95 % intervals over prompts.

    Attributes:
        run: The folder of this evaluation, inside the run folder.
        report: `report.html`; `report.md` and `metrics.json` are beside it.
        metrics: Estimates by arm and metric, `metrics["base"]["perplexity"].value`; undefined numbers are NaN.
        differences: Paired differences to the base model by arm and metric; empty without a base arm.
        result: The content of `metrics.json`.
        reused: True if the evaluation already existed.
    """

    run: Path
    report: Path
    metrics: "dict[str, dict[str, Estimate]]"
    differences: "dict[str, dict[str, Estimate]]"
    result: dict[str, Any] = field(repr=False)
    reused: bool


def compose(*overrides: str, config_dir: str | Path | None = None) -> "Config":
    """Compose and check a config.

    Args:
        overrides: The same `KEY=VALUE` and `GROUP=OPTION` lines as on the command line, for one run. Shell quoting
            is not needed.
        config_dir: A folder with config groups of your own, as `--config-dir`.

    Returns:
        The config as nested dataclasses. Values may be changed before it is passed on; the stages check it again.

    Raises:
        ConfigError: An override that cannot be used; the message names the value, what is allowed and the fix.
    """
    from gcsl_cli.configs import load

    with _hydra_restored():
        return load(overrides, None if config_dir is None else Path(config_dir))


def prepare(config: "Config") -> PrepareResult:
    """Build the graded feedback, levels, goal specification and batch plan.

    Raises:
        GcslError: The config, data or an artifact cannot be used.
    """
    from gcsl_cli.stages import prepare as stage

    found = _run(stage, config)
    run = Path(found["run"]).absolute()
    return PrepareResult(
        run=run,
        goal=run / "goal.json",
        plan=run / "plan.parquet",
        rows=found["columns"]["rows"],
        steps=found["columns"]["steps"],
        summary=dict(found["summary"]),
        reused=_reused(found),
    )


def train(config: "Config") -> TrainResult:
    """Fine-tune the model and export it; prepares the run first if needed.

    Raises:
        GcslError: The config, data or an artifact cannot be used, or the loss is not a number.
        KeyboardInterrupt: Ctrl-C; a checkpoint is saved after the current step, and the next call resumes from it.
    """
    from gcsl_cli.runs.files import read_json
    from gcsl_cli.stages import train as stage

    found = _run(stage, config)
    run = Path(found["run"]).absolute()
    manifest = read_json(run / "manifest.json")
    return TrainResult(
        run=run,
        model=run / "model",
        log=run / "log.jsonl",
        steps=manifest["steps"],
        tokens=manifest["tokens"],
        supervised_tokens=manifest["supervised_tokens"],
        training_loss=manifest["training_loss"],
        validation_loss=manifest["validation_loss"],
        seconds=manifest["training_seconds"],
        reused=_reused(found),
    )


def generate(config: "Config") -> GenerateResult:
    """Sample completions of the evaluation prompts for the goal `config.generation.target`; trains first if needed.

    Raises:
        GcslError: The config, data or an artifact cannot be used, or training failed.
        KeyboardInterrupt: Ctrl-C; finished shards are kept, and the next call resumes after them.
    """
    from gcsl_cli.stages import generate as stage

    found = _run(stage, config)
    run = Path(found["run"]).absolute()
    return GenerateResult(
        run=run,
        completions_path=run / "generations.parquet",
        count=found["columns"]["completions"],
        reused=_reused(found),
    )


def evaluate(config: "Config") -> EvaluateResult:
    """Compare the trained model with the base model; runs all missing stages first.

    Raises:
        GcslError: The config, data or an artifact cannot be used, or training failed.
        KeyboardInterrupt: Ctrl-C; finished work is kept, and the next call resumes.
    """
    from gcsl_cli.stages import evaluate as stage

    found = _run(stage, config)
    run, result = Path(found["run"]).absolute(), found["result"]
    return EvaluateResult(
        run=run,
        report=run / "report.html",
        metrics={arm["name"]: _estimates(arm["metrics"]) for arm in result["arms"]},
        differences={arm["name"]: _estimates(arm["difference"]) for arm in result["arms"] if arm["difference"]},
        result=result,
        reused=_reused(found),
    )


def _run(stage: Any, config: "Config") -> dict[str, Any]:
    """Check the config and run a stage, preserving the state of the global random generators."""
    import numpy as np
    import torch

    from gcsl_cli.configs import validate
    from gcsl_cli.errors import ConfigError
    from gcsl_cli.runs import ranks

    if config.dry_run:
        raise ConfigError("dry_run=true is not supported from Python. Remove it, or use the command line.")
    validate(config)
    if config.distributed.processes not in (None, 1) or ranks.count() > 1:
        raise ConfigError(
            "The Python interface runs in one process. Several train one run from the command line: gcsl train "
            "distributed=ddp, or torchrun -m gcsl_cli train."
        )
    python, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=()):
            found: dict[str, Any] = stage.run(config)
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
    return found


def _reused(found: Mapping[str, Any]) -> bool:
    return bool(found["status"] == "already done")


def _estimates(values: Mapping[str, Mapping[str, Any]]) -> "dict[str, Estimate]":
    """Estimates by metric from their JSON form, where an undefined number is null."""
    from gcsl_cli.metrics.bootstrap import Estimate

    def number(value: float | None) -> float:
        return math.nan if value is None else float(value)

    return {
        name: Estimate(number(e["value"]), number(e["low"]), number(e["high"]), e["n"], e["left_out"])
        for name, e in values.items()
    }


@contextmanager
def _hydra_restored() -> Iterator[None]:
    """Restore Hydra's version base and config store on exit; the caller may use Hydra too."""
    from hydra.core.config_store import ConfigStore
    from hydra.version import VersionBase

    version, repo = VersionBase.instance(), ConfigStore.instance().repo
    base, entries = version.version_base, dict(repo)
    try:
        yield
    finally:
        version.version_base = base
        repo.clear()
        repo.update(entries)
