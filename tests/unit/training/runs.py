"""Train a tiny model on made-up rows without the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.data.records import FeedbackRow, FeedbackRows
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.training.examples import RowExamples
from gcsl_cli.training.micro_batches import PlannedBatches
from gcsl_cli.training.plan import Plan

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gcsl_cli.training.loop import Trained

FEEDBACK = [
    FeedbackRow("I wanted", " to go", 0.9, "a", "train", True),
    FeedbackRow("You", " ran", 0.1, "b", "train", False),
    FeedbackRow("They said", " no more", 0.5, "c", "train", True),
]
GOALS = (0.9, 0.0, 0.5)


def batches(tokenizer: "PreTrainedTokenizerBase", spec: GoalSpec, steps: int, micro: int = 1) -> PlannedBatches:
    """Plan `steps` steps of `micro` micro-batches, each with the three rows under their goals."""
    count = steps * micro
    place = np.repeat(np.arange(count), len(FEEDBACK))
    row = np.tile(np.arange(len(FEEDBACK)), count)
    goal = np.tile(np.array(GOALS), count)
    plan = Plan.of(step=place // micro, micro=place, row=row, goal=goal, tokens=np.ones_like(row))
    return PlannedBatches(plan, RowExamples(FeedbackRows.of(FEEDBACK), Prompter(tokenizer, spec), None))


def trained(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    planned: PlannedBatches,
    folder: Path,
    *,
    accumulation: int = 1,
    adapter: Any = None,
    bf16: bool = False,
    gradient_checkpointing: bool = False,
    control_token_learning_rate: float | None = None,
    negative_loss: Any = None,
) -> "Trained":
    """Run the plan."""
    from gcsl_cli.runs.progress import progress
    from gcsl_cli.training.loop import TrainSettings, train_plan
    from gcsl_cli.training.sft import sft_trainer

    settings = TrainSettings(
        learning_rate=0.01,
        lr_schedule="constant",
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=1e9,
        bf16=bf16,
        gradient_checkpointing=gradient_checkpointing,
        checkpoint_every=100,
        keep_checkpoints=1,
        log_every=100,
        validate_every=None,
        report_to=[],
        seed=0,
        accumulation=accumulation,
    )
    with progress("training", 1, "tokens") as bar:
        make = sft_trainer(model, tokenizer, planned, None, adapter, control_token_learning_rate, negative_loss)
        return train_plan(make, planned.plan, settings, folder, bar, validated=False)
