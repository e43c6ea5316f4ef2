"""train: run the batch plan and export a model that carries its goal."""

import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.configs.schema import Config
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.goals.spec_file import save_spec
from gcsl_cli.models.loading import export_model
from gcsl_cli.runs import ranks
from gcsl_cli.runs.files import PARTIAL, storage_errors, sync, write_text
from gcsl_cli.runs.folders import Folder
from gcsl_cli.runs.progress import progress
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import ensure_feedback
from gcsl_cli.stages.planning.plan import budget_text, count_rows, savings_text, validation_plan
from gcsl_cli.stages.prepare import Prepared, fill
from gcsl_cli.stages.rounds.chain import Rounds, current
from gcsl_cli.stages.saved_model import model_to_save
from gcsl_cli.stages.trainer import check_setup, make_trainer, train_settings
from gcsl_cli.training.reporters import check_reporters

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from gcsl_cli.training.loop import Trained

TRAINING = "training"
CHECKPOINTS = "checkpoints"
MODEL = "model"
LOG = "log.jsonl"

log = logging.getLogger("gcsl")


def run(config: Config) -> dict[str, Any]:
    """Run the stage; a finished run is reported, not repeated."""
    rounds, done = Rounds(config), True
    for experiment in rounds:
        done &= ensure_trained(experiment, config.force)
    experiment = rounds.chosen
    manifest = experiment.training.manifest()
    message = f"This run is finished: {experiment.training.path} (force=true repeats it)."
    return {
        "stage": "train",
        "status": "already done" if done else "done",
        "run": str(experiment.training.path),
        **({"rounds": [str(one.training.path) for one in rounds.trained]} if config.in_rounds else {}),
        **({"message": message} if done else {}),
        "summary": [*rounds.summary(), *[[label, str(manifest[key])] for label, key in SUMMARY if key in manifest]],
        "columns": {label: manifest[key] for label, key in SUMMARY if isinstance(manifest.get(key), int | float)},
        "objective": manifest.get("validation_loss"),
    }


SUMMARY = [
    ("budget", "budget"),
    ("steps", "steps"),
    ("tokens", "tokens"),
    ("tokens per second", "tokens_per_second"),
    ("training loss", "training_loss"),
    ("validation loss", "validation_loss"),
    ("seconds", "training_seconds"),
    ("rows cut at the length limit", "rows_cut"),
    ("rows with a retokenized boundary", "rows_seam"),
]


def ensure_trained(experiment: Experiment, force: bool = False) -> bool:
    """Train unless the run is finished; return whether it was.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; a checkpoint has been saved.
    """
    folder = experiment.training
    if not force and folder.done():
        return True
    check_reporters(experiment.config.train.report_to)
    check_setup(experiment)
    experiment.make_named_folder()
    rows = ensure_feedback(experiment)
    with folder.working(force) as todo:
        if todo:
            prepared = fill(experiment, rows)
            _train(experiment, prepared, folder)
    return not todo


def take_part(config: Config) -> None:
    """In the other processes: run the plan with the leader, which has saved it."""
    experiment = current(config)
    _run_plan(experiment, fill(experiment, ensure_feedback(experiment)))


def _train(experiment: Experiment, prepared: Prepared, folder: Folder) -> None:
    spec = prepared.spec
    with ranks.together(TRAINING):
        trained, counts = _run_plan(experiment, prepared)
    _write_log(folder.path / LOG, trained)
    model = model_to_save(experiment, spec, trained.model, trained.state)
    _export(experiment, spec, model, trained.state if model is trained.model else None, folder.path / MODEL)
    shutil.rmtree(folder.path / CHECKPOINTS, ignore_errors=True)
    folder.finish(
        MODEL,
        budget=budget_text(experiment.config.train),
        **counts,
        steps=prepared.plan.steps,
        training_loss=_mean_loss(trained.history),
        validation_loss=next((entry["eval_loss"] for entry in reversed(trained.history) if "eval_loss" in entry), None),
        training_seconds=round(trained.seconds, 1),
        tokens_per_second=round(counts["tokens"] / trained.seconds),
        bf16=trained.bf16,
        processes=ranks.count(),
        feedback=str(experiment.feedback.path),
    )


def _run_plan(experiment: Experiment, prepared: Prepared) -> "tuple[Trained, dict[str, int]]":
    """The part of training that all processes do; counts of the plan's rows and tokens come second."""
    from gcsl_cli.training.loop import train_plan

    plan, spec, path = prepared.plan, prepared.spec, experiment.training.path
    validation = validation_plan(experiment, prepared.examples, spec, prepared.validation)
    if validation is not None:
        count_rows(*validation)  # an unusable row fails here, not after hours of training
    settings = train_settings(experiment)
    make, share = make_trainer(experiment, spec, prepared.examples, plan, settings, validation)
    counts = count_rows(prepared.examples, plan, share)
    if share is not None:
        log.info("shared prompts: %s", savings_text(counts))
    log.info("training %d steps, %d tokens", plan.steps, counts["tokens"])
    with progress("training", counts["tokens"], "tokens") as bar, storage_errors(path):
        trained = train_plan(make, plan, settings, path / CHECKPOINTS, bar, validated=validation is not None)
    return trained, counts


def _write_log(path: Path, trained: "Trained") -> None:
    import json

    write_text(path, "".join(json.dumps(entry) + "\n" for entry in trained.history))


def _mean_loss(history: list[dict[str, float]]) -> float | None:
    """Mean training loss over the last tenth of the steps."""
    losses = [entry["loss"] for entry in history if "loss" in entry]
    tail = losses[-max(1, len(losses) // 10) :]
    return round(float(np.mean(tail)), 4) if tail else None


def _export(
    experiment: Experiment, spec: GoalSpec, model: "PreTrainedModel", state: dict[str, Any] | None, folder: Path
) -> None:
    """Write model, tokenizer with the goal in its chat template, and goal.json; the folder appears whole."""
    with storage_errors(folder):
        partial = Path(tempfile.mkdtemp(prefix=".model-", suffix=PARTIAL, dir=folder.parent))
    try:
        prompter = experiment.prompter(spec)
        export_model(model, prompter.tokenizer, partial, prompter.template, state)
        save_spec(spec, partial)
        with storage_errors(folder):
            for path in partial.rglob("*"):
                if path.is_file():
                    sync(path)
        partial.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
