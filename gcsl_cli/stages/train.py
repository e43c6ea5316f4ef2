"""train: run the batch plan, export a model that carries its goal."""

import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.configs.schema import Config
from gcsl_cli.errors import DataError
from gcsl_cli.models.loading import export_model
from gcsl_cli.runs.files import PARTIAL, storage_errors, write_text
from gcsl_cli.runs.folders import Folder
from gcsl_cli.runs.progress import progress
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import ensure_feedback
from gcsl_cli.stages.method import AnyExamples, make_trainer, validation_examples
from gcsl_cli.stages.optimisation import told_budget, train_settings
from gcsl_cli.stages.policy import base_dtype, control_ids, peft_config, starting_model
from gcsl_cli.stages.prepare import Prepared, fill
from gcsl_cli.stages.sharing import share, told_saving
from gcsl_cli.training.branches import branched
from gcsl_cli.training.examples import encoded_plan
from gcsl_cli.training.plan import Plan
from gcsl_cli.training.reporters import check_reporters

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from gcsl_cli.training.loop import Trained

CHECKPOINTS = "checkpoints"
MODEL = "model"
LOG = "log.jsonl"

log = logging.getLogger("gcsl")


def run(config: Config) -> dict[str, Any]:
    """The stage: train, or say that it is done and where."""
    experiment = Experiment(config)
    done = ensure_trained(experiment, config.force)
    manifest = experiment.training.manifest()
    message = f"This run is done: {experiment.training.path} (force=true does it again)."
    return {
        "stage": "train",
        "status": "already done" if done else "done",
        "run": str(experiment.training.path),
        **({"message": message} if done else {}),
        "summary": [[label, str(manifest[key])] for label, key in SUMMARY if key in manifest],
        "columns": {label: manifest[key] for label, key in SUMMARY if isinstance(manifest.get(key), int | float)},
    }


SUMMARY = [
    ("budget", "budget"),
    ("steps", "steps"),
    ("tokens", "tokens"),
    ("tokens a second", "tokens_per_second"),
    ("training loss", "training_loss"),
    ("validation loss", "validation_loss"),
    ("seconds", "training_seconds"),
    ("rows cut at the length limit", "rows_cut"),
    ("rows with another seam", "rows_seam"),
]


def ensure_trained(experiment: Experiment, force: bool = False) -> bool:
    """Train unless it is done; returns whether it was.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; a checkpoint is saved.
    """
    folder = experiment.training
    if not force and folder.done():
        return True
    check_reporters(experiment.config.train.report_to)
    rows = ensure_feedback(experiment)
    with folder.working(force) as todo:
        if todo:
            prepared = fill(experiment, rows)
            _train(experiment, prepared, folder)
    return not todo


def _train(experiment: Experiment, prepared: Prepared, folder: Folder) -> None:
    from gcsl_cli.training.loop import merged, train_plan

    config, plan = experiment.config, prepared.plan
    validation = validation_examples(experiment, prepared.examples, prepared.spec, prepared.validation)
    if validation is not None:
        count_rows(experiment, *validation)  # a row that cannot be used shows now, not after hours of training
    settings = train_settings(config.train, config.seed)
    adapter = peft_config(config.adapter, control_ids(experiment, prepared.spec))
    model = starting_model(experiment, prepared.spec, base_dtype(frozen=adapter is not None, bf16=settings.bf16))
    sharing = share(experiment, model, prepared.examples, plan)
    counts = count_rows(experiment, prepared.examples, plan, sharing)
    if sharing is not None:
        log.info("prompts are shared: %s", told_saving(counts))
    given = (prepared.examples, plan, validation, adapter)
    make = make_trainer(experiment, model, experiment.tokenizer, *given, bf16=settings.bf16, share=sharing)
    log.info("training %d steps, %d tokens", plan.steps, counts["tokens"])
    started = time.monotonic()
    with progress("training", counts["tokens"], "tokens") as bar, storage_errors(folder.path):
        trained = train_plan(make, plan, settings, folder.path / CHECKPOINTS, bar, validated=validation is not None)
    if trained.interrupted:
        raise KeyboardInterrupt
    seconds = time.monotonic() - started
    _write_log(folder.path / LOG, trained)
    model = trained.model if adapter is None else merged(trained.model, starting_model(experiment, prepared.spec))
    _export(experiment, prepared, model, folder.path / MODEL)
    shutil.rmtree(folder.path / CHECKPOINTS, ignore_errors=True)
    folder.finish(
        budget=told_budget(config.train),
        **counts,
        steps=plan.steps,
        training_loss=_mean_loss(trained.history),
        validation_loss=next((entry["eval_loss"] for entry in reversed(trained.history) if "eval_loss" in entry), None),
        training_seconds=round(seconds, 1),
        tokens_per_second=round(counts["tokens"] / seconds),
        bf16=settings.bf16,
        feedback=str(experiment.feedback.path),
    )


def count_rows(
    experiment: Experiment, examples: AnyExamples, plan: Plan, sharing: float | None = None
) -> dict[str, int]:
    """Processed and supervised tokens, rows cut at the length limit, rows whose seam merges.

    Where rows share their prompts: also their tokens written out one by one, and rows split over several sequences.

    Raises:
        DataError: a row has no supervised token.
    """
    tokens = supervised = cut = seam = computed = sequences = 0
    for batch, index, rows in encoded_plan(examples, plan):
        for number, row in zip(index, rows, strict=True):
            tokens += len(row.input_ids)
            supervised += row.supervised
            cut += row.cut
            seam += row.seam
            if not row.supervised:
                raise DataError(
                    f"The row with the prompt {examples.prompt(number)[:60]!r} has no supervised token: its prompt and "
                    f"goal take {row.prompt_tokens} tokens or its completion is empty. Raise train.max_length "
                    f"(now {experiment.config.train.max_length}) or leave the row out."
                )
        if sharing is not None:
            shared = branched(rows, plan.sequence[batch], sharing)
            computed += sum(sequence.tokens for sequence in shared)
            sequences += len(shared)
    counts = {"tokens": tokens, "supervised_tokens": supervised, "rows_cut": cut, "rows_seam": seam}
    if sharing is None:
        return counts
    split = sequences - len(np.unique(plan.sequence))
    return counts | {"tokens": computed, "tokens_written_out": tokens, "rows_split": split}


def _write_log(path: Path, trained: "Trained") -> None:
    import json

    write_text(path, "".join(json.dumps(entry) + "\n" for entry in trained.history))


def _mean_loss(history: list[dict[str, float]]) -> float | None:
    """Mean training loss over the last tenth of the steps."""
    losses = [entry["loss"] for entry in history if "loss" in entry]
    tail = losses[-max(1, len(losses) // 10) :]
    return round(float(np.mean(tail)), 4) if tail else None


def _export(experiment: Experiment, prepared: Prepared, model: "PreTrainedModel", folder: Path) -> None:
    """Model, tokenizer with the goal in its chat template, and goal.json; the folder appears whole."""
    partial = Path(tempfile.mkdtemp(prefix=".model-", suffix=PARTIAL, dir=folder.parent))
    try:
        prompter = experiment.prompter(prepared.spec)
        export_model(model, prompter.tokenizer, partial, prompter.template)
        prepared.spec.save(partial)
        partial.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
