"""Run a batch plan through a TRL trainer: in order, with exact resuming and a clean stop on signals."""

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from gcsl_cli.configs.choices import Strategy
from gcsl_cli.errors import TrainingError
from gcsl_cli.models.loading import device
from gcsl_cli.runs import ranks
from gcsl_cli.runs.progress import Progress
from gcsl_cli.training.checkpoints import check_strategy, keep_newest, mark_complete, newest_complete
from gcsl_cli.training.plan import Plan
from gcsl_cli.training.trl_internals import head_on_supervised_positions
from gcsl_cli.training.zero import deepspeed_config, gathered_state

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger("gcsl")

MakeTrainer = Callable[[dict[str, Any], list[TrainerCallback]], Trainer]
"""Build a method's trainer, with its data in plan order, from TRL's common settings and our callbacks."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Optimization settings of the trainer; batches and budget are part of the plan."""

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
    """Micro-batches per optimizer step in each process."""
    liger: bool = False
    """Use Liger's kernels for layers; the loss stays TRL's, which has the log-probabilities of tokens."""
    fsdp: Mapping[str, Any] | None = None
    """Options of accelerate's FSDP plugin; `None`: FSDP does not shard the model."""
    zero: Mapping[str, Any] | None = None
    """Options of DeepSpeed's `zero_optimization`; `None`: ZeRO-3 does not shard the model."""


@dataclass(frozen=True, slots=True)
class Trained:
    """Result of training: the model, and a log entry per step."""

    model: "PreTrainedModel"
    state: dict[str, Any] | None
    """The trained weights, gathered on the CPU of the leader, if the model is sharded."""
    history: list[dict[str, float]]
    seconds: float
    bf16: bool


def train_plan(
    make: MakeTrainer, plan: Plan, settings: TrainSettings, folder: Path, progress: Progress, *, validated: bool
) -> Trained:
    """Run the plan in order, resuming from the newest complete checkpoint in `folder`.

    Raises:
        TrainingError: the loss is not finite.
        RunError: that checkpoint is of a sharded model and this run is not, or the other way round.
        KeyboardInterrupt: Ctrl-C or SIGTERM; a checkpoint has been saved.
    """
    started = time.monotonic()
    watch = PlanCallback(folder, settings, plan, progress)
    trainer = make(common_arguments(settings, folder, validated=validated), [watch])
    trainer.remove_callback(PrinterCallback)
    checkpoint = ranks.agree(newest_complete(folder) if ranks.leads() else None)
    if checkpoint is not None:
        check_strategy(checkpoint, _strategy(settings))
        log.info("resuming from %s", checkpoint.name)
    with _stop_at_step_end(watch), head_on_supervised_positions():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if validated and watch.stopped_by is None:
            trainer.evaluate()
    history = list(trainer.state.log_history)
    model, seconds = trainer.accelerator.unwrap_model(trainer.model), time.monotonic() - started
    return Trained(model, _gathered(trainer, model, settings), history, seconds, settings.bf16)


def _strategy(settings: TrainSettings) -> Strategy:
    return (
        Strategy.fsdp2 if settings.fsdp is not None else Strategy.zero3 if settings.zero is not None else Strategy.ddp
    )


def _gathered(trainer: Trainer, model: "PreTrainedModel", settings: TrainSettings) -> dict[str, Any] | None:
    """Gather the trained weights of a sharded model on the leader's CPU; all processes have to call this."""
    strategy = _strategy(settings)
    if not strategy.shards:
        return None
    if strategy is Strategy.zero3:
        state = gathered_state(trainer) or {}
    else:
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
        state = get_model_state_dict(model, options=options)
    # Gathered weights no longer show that they are the same; files name tied weights once.
    return {name: weight for name, weight in state.items() if name not in model.all_tied_weights_keys}


def merge_adapter(
    trained: "PreTrainedModel", base: "PreTrainedModel", state: dict[str, Any] | None = None
) -> "PreTrainedModel":
    """Merge the adapter of `trained` into `base`, which may have a higher precision than the model trained on.

    `state`: its weights, if `trained` has only a part of them.
    """
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    config = trained.peft_config["default"]
    fresh = get_peft_model(base, config)
    adapter = get_peft_model_state_dict(trained, state_dict=state, save_embedding_layers=False)
    set_peft_model_state_dict(fresh, adapter)
    return fresh.merge_and_unload()


def common_arguments(settings: TrainSettings, folder: Path, *, validated: bool) -> dict[str, Any]:
    """Arguments common to all TRL trainers: plan order, our checkpoints, no console output."""
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
        "use_liger_kernel": settings.liger,
        "fsdp": settings.fsdp is not None,
        "fsdp_config": None if settings.fsdp is None else dict(settings.fsdp),
        "deepspeed": None if settings.zero is None else deepspeed_config(settings.zero),
        "max_length": None,  # rows are already truncated, and counted
        "remove_unused_columns": False,
        "logging_steps": 1,  # every step is logged, so that a resumed log equals an uninterrupted one
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_every,
        "eval_strategy": "steps" if validate_every else "no",
        "eval_steps": validate_every,
        "report_to": settings.report_to or "none",
        "disable_tqdm": True,
        "seed": settings.seed,
        "dataloader_pin_memory": False,
        "ddp_find_unused_parameters": False,  # every trained weight takes part in every forward pass
    }


MAX_ROWS_LISTED = 64
"""Maximum number of rows that an error message lists."""


class PlanCallback(TrainerCallback):
    """Report progress, mark checkpoints as complete, and stop at the end of a step after a signal."""

    def __init__(self, folder: Path, settings: TrainSettings, plan: Plan, progress: Progress) -> None:
        self.folder = folder
        self.settings = settings
        self.plan = plan
        self.tokens_of_step = np.bincount(plan.step, weights=plan.tokens)
        self.progress = progress
        self.stopped_by: int | None = None
        """The signal that ends training after the current step."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Advance progress by the steps of the checkpoint that training resumes from."""
        self.progress.advance(float(self.tokens_of_step[: state.global_step].sum()))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Advance progress by the planned tokens of the step; save and stop after a signal."""
        self.progress.advance(float(self.tokens_of_step[state.global_step - 1]))
        self.stopped_by = ranks.highest(self.stopped_by or 0) or None
        if self.stopped_by is not None:
            control.should_save = True
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:  # noqa: ARG002
        """Log the loss every `log_every` steps; raise an error if it is not finite."""
        loss = logs.get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss of step {state.global_step} is {loss}. Try a smaller train.learning_rate "
                f"(now {self.settings.learning_rate:g}) or train.precision=fp32. "
                f"Training rows of this step, numbered as in plan.parquet: {self._rows_of_step(state.global_step)}."
            )
        if state.global_step % self.settings.log_every == 0:
            log.info("step %d of %d: loss %.4f", state.global_step, state.max_steps, loss)

    def _rows_of_step(self, step: int) -> str:
        rows = np.unique(self.plan.row[self.plan.step == step - 1]).tolist()
        more = f" and {len(rows) - MAX_ROWS_LISTED} more" if len(rows) > MAX_ROWS_LISTED else ""
        return ", ".join(map(str, rows[:MAX_ROWS_LISTED])) + more

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Mark the checkpoint as complete, then remove older ones; in this order, one always remains."""
        ranks.wait_for_all()  # every process has written its part
        if ranks.leads():
            mark_complete(self.folder / f"checkpoint-{state.global_step}")
            keep_newest(self.folder, self.settings.keep_checkpoints)


@contextmanager
def _stop_at_step_end(watch: PlanCallback) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM save a checkpoint at the end of the step; the second one stops immediately.

    Either way, the signal then takes the effect that it has outside the block.
    """
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if watch.stopped_by is not None:
            _take_effect(signum, before[signal.Signals(signum)])
        watch.stopped_by = signum
        log.warning("stopping after this step and saving a checkpoint; press Ctrl-C again to stop immediately")

    try:
        for signum in before:
            signal.signal(signum, stop)
    except ValueError:  # not in the main thread, for example under a parallel launcher
        yield
        return
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    if watch.stopped_by is not None:
        _take_effect(watch.stopped_by, signal.getsignal(watch.stopped_by))


def _take_effect(signum: int, handler: Any) -> NoReturn:
    signal.signal(signum, handler)
    signal.raise_signal(signum)
    raise KeyboardInterrupt  # where the signal is ignored
