"""Running a plan through a trainer of TRL's, whichever the method takes: in order, resumable, stoppable."""

import logging
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from gcsl_cli.errors import TrainingError
from gcsl_cli.models.loading import device
from gcsl_cli.runs.progress import Progress
from gcsl_cli.training.checkpoints import keep_newest, mark_complete, newest_complete
from gcsl_cli.training.plan import Plan

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger("gcsl")

MakeTrainer = Callable[[dict[str, Any], list[TrainerCallback]], Trainer]
"""From TRL's common settings and our callbacks to a trainer of a method, its data in the order of the plan."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The optimisation, as the trainer needs it; the plan holds batches and budget."""

    learning_rate: float
    lr_schedule: str
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    bf16: bool
    gradient_checkpointing: bool
    checkpoint_every: int
    keep_checkpoints: int
    log_every: int
    validate_every: int | None
    report_to: list[str]
    seed: int
    accumulation: int
    """Micro-batches an optimizer step."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What training leaves: the model, the log of every step, and whether Ctrl-C ended it."""

    model: "PreTrainedModel"
    history: list[dict[str, float]]
    interrupted: bool


def train_plan(
    make: MakeTrainer, plan: Plan, settings: TrainSettings, folder: Path, progress: Progress, *, validated: bool
) -> Trained:
    """Run the plan in order; goes on from the newest whole checkpoint in `folder`.

    Raises:
        TrainingError: the loss is not a number.
    """
    watch = PlanCallback(folder, settings, plan, progress)
    trainer = make(common_arguments(settings, folder, validated=validated), [watch])
    trainer.remove_callback(PrinterCallback)
    checkpoint = newest_complete(folder)
    if checkpoint is not None:
        log.info("going on from %s", checkpoint.name)
    with _stop_at_step_end(watch), _head_on_supervised_positions():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if validated and not watch.interrupted:
            trainer.evaluate()
    history = list(trainer.state.log_history)
    return Trained(trainer.accelerator.unwrap_model(trainer.model), history, watch.interrupted)


def merged(trained: "PreTrainedModel", base: "PreTrainedModel") -> "PreTrainedModel":
    """The adapter of `trained` merged into `base`, which may be of higher precision than what it was trained on."""
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    config = trained.peft_config["default"]
    fresh = get_peft_model(base, config)
    state = get_peft_model_state_dict(trained, save_embedding_layers=False)
    set_peft_model_state_dict(fresh, state)
    return fresh.merge_and_unload()


def common_arguments(settings: TrainSettings, folder: Path, *, validated: bool) -> dict[str, Any]:
    """What the configurations of TRL's trainers share: the plan's order, our checkpoints, no prints of their own."""
    validate_every = settings.validate_every if validated else None
    return {
        "output_dir": str(folder),
        "num_train_epochs": 1,
        "gradient_accumulation_steps": settings.accumulation,
        "train_sampling_strategy": "sequential",
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.lr_schedule,
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "optim": "adamw_torch_fused",
        "bf16": settings.bf16,
        "use_cpu": device() == "cpu",
        "gradient_checkpointing": settings.gradient_checkpointing,
        "max_length": None,  # rows are cut before, and counted
        "remove_unused_columns": False,
        "logging_steps": 1,  # every step is written down, so that a resumed log equals an uninterrupted one
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_every,
        "eval_strategy": "steps" if validate_every else "no",
        "eval_steps": validate_every,
        "report_to": settings.report_to or "none",
        "disable_tqdm": True,
        "seed": settings.seed,
        "dataloader_pin_memory": False,
    }


TOLD_ROWS = 64
"""Rows at most that a message names."""


class PlanCallback(TrainerCallback):
    """Progress, whole checkpoints, and a stop at the end of a step when Ctrl-C was pressed."""

    def __init__(self, folder: Path, settings: TrainSettings, plan: Plan, progress: Progress) -> None:
        self.folder = folder
        self.settings = settings
        self.plan = plan
        self.tokens_of_step = np.bincount(plan.step, weights=plan.tokens)
        self.progress = progress
        self.interrupted = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Count what a checkpoint has already seen."""
        self.progress.advance(float(self.tokens_of_step[: state.global_step].sum()))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Advance by the step's planned tokens; save and stop after Ctrl-C."""
        self.progress.advance(float(self.tokens_of_step[state.global_step - 1]))
        if self.interrupted:
            control.should_save = True
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:  # noqa: ARG002
        """Say the loss now and then; a loss that is not a number ends the training."""
        loss = logs.get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss of step {state.global_step} is {loss}. A smaller train.learning_rate "
                f"(now {self.settings.learning_rate:g}) or train.precision=fp32 helps. "
                f"Its training rows, numbered as in plan.parquet: {self._rows_of_step(state.global_step)}."
            )
        if state.global_step % self.settings.log_every == 0:
            log.info("step %d of %d: loss %.4f", state.global_step, state.max_steps, loss)

    def _rows_of_step(self, step: int) -> str:
        rows = np.unique(self.plan.row[self.plan.step == step - 1]).tolist()
        more = f" and {len(rows) - TOLD_ROWS} more" if len(rows) > TOLD_ROWS else ""
        return ", ".join(map(str, rows[:TOLD_ROWS])) + more

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Mark the checkpoint as whole, then remove older ones: in that order, so that one is always there."""
        mark_complete(self.folder / f"checkpoint-{state.global_step}")
        keep_newest(self.folder, self.settings.keep_checkpoints)


@contextmanager
def _head_on_supervised_positions() -> Iterator[None]:
    """Project only supervised positions to the vocabulary on a CPU too, as TRL does where Triton runs.

    TRL scores every position elsewhere, to keep shapes fixed for compiling back ends; eager CPU code has no use for
    that, and prompts and padding are two thirds of our positions. Losses are the same.
    """
    import trl.trainer.utils as trl_utils

    before = getattr(trl_utils, "_use_triton", None)
    if before is None:
        yield
        return
    trl_utils._use_triton = lambda where: where.type == "cpu" or before(where)
    try:
        yield
    finally:
        trl_utils._use_triton = before


@contextmanager
def _stop_at_step_end(watch: PlanCallback) -> Iterator[None]:
    """The first Ctrl-C saves a checkpoint at the end of the step; the second one stops at once."""

    def interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if watch.interrupted:
            raise KeyboardInterrupt
        watch.interrupted = True
        log.warning("stopping after this step, with a checkpoint; Ctrl-C again stops at once")

    try:
        before = signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not in the main thread, as under a parallel launcher
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
