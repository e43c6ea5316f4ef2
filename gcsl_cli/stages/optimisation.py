"""The optimisation of a config as training needs it: settings and budget."""

import math
from typing import TYPE_CHECKING

from gcsl_cli.configs.schema import TrainConfig
from gcsl_cli.models.loading import train_in_bf16
from gcsl_cli.training.batching import Batching
from gcsl_cli.training.plan import Budget

if TYPE_CHECKING:
    from gcsl_cli.training.loop import TrainSettings


def train_settings(config: TrainConfig, seed: int) -> "TrainSettings":
    """The settings of the trainer."""
    from gcsl_cli.training.loop import TrainSettings

    return TrainSettings(
        learning_rate=config.learning_rate,
        lr_schedule=config.lr_schedule,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=train_in_bf16(str(config.precision)),
        gradient_checkpointing=config.gradient_checkpointing,
        checkpoint_every=config.checkpoint_every,
        keep_checkpoints=config.keep_checkpoints,
        log_every=config.log_every,
        validate_every=config.validate_every,
        report_to=list(config.report_to),
        seed=seed,
        accumulation=batching(config).passes,
    )


def batching(config: TrainConfig, context: int | None = None) -> Batching:
    """What an optimizer step and a forward pass take; `context` is the number of tokens that the model can take."""
    return Batching(
        batch_size=config.batch_size,
        micro_batch_size=config.micro_batch_size or config.batch_size,
        tokens_per_batch=config.tokens_per_batch,
        batches_per_step=config.batches_per_step,
        context=math.inf if context is None else context,
    )


def plan_budget(config: TrainConfig, tokens_per_second: float) -> Budget:
    """How much the plan holds; seconds become the processed tokens that they are enough for."""
    budget = config.budget
    tokens = budget.tokens
    if budget.seconds is not None:
        tokens = max(1, round(budget.seconds * tokens_per_second))
    supervised = budget.supervised_tokens
    limited = tokens is not None or supervised is not None
    return Budget(
        epochs=budget.epochs or (math.inf if limited else 1.0),
        tokens=math.inf if tokens is None else tokens,
        supervised_tokens=math.inf if supervised is None else supervised,
        steps=config.max_steps or math.inf,
    )


def told_budget(config: TrainConfig) -> str:
    """The budget in words: `50,000 tokens`, `1 epoch`."""
    budget = config.budget
    for amount, unit in (
        (budget.tokens, "tokens"),
        (budget.supervised_tokens, "supervised tokens"),
        (budget.seconds, "seconds"),
    ):
        if amount is not None:
            return f"{amount:,} {unit}" + _at_most(config)
    epochs = budget.epochs or 1.0
    return f"{epochs:g} epoch{'' if epochs == 1 else 's'}" + _at_most(config)


def _at_most(config: TrainConfig) -> str:
    return "" if config.max_steps is None else f", at most {config.max_steps} steps"
