"""The batch plan of a run: how much is trained, how rows and goals are drawn, and which rows share a prompt."""

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gcsl_cli.configs.choices import AFTER_PROMPT, Attention, SharedPrefix
from gcsl_cli.configs.schema import TrainConfig
from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.joint import JointLevels, JointSpec, saved_levels
from gcsl_cli.goals.levels import Levels
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.methods.base import ExampleInputs
from gcsl_cli.models.attention import attention_of
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.training.batching import Batching, Measured
from gcsl_cli.training.branches import branched, packing_order, shared_tokens
from gcsl_cli.training.drawing import Drawing, GoalSource, LevelGoals
from gcsl_cli.training.examples import Examples
from gcsl_cli.training.joint_goals import JointGoals
from gcsl_cli.training.micro_batches import packed_rows
from gcsl_cli.training.plan import Budget, Plan, draw_plan

if TYPE_CHECKING:
    from transformers import PreTrainedModel

UNSHARED = "prompts are not shared between rows: %s"

log = logging.getLogger("gcsl")


def make_examples(experiment: Experiment, spec: GoalSpec, rows: FeedbackRows) -> Examples:
    """The method's training examples.

    Raises:
        DataError: the rows do not contain what the method needs.
    """
    inputs = _example_inputs(experiment, spec, rows, at_least=experiment.config.train.batch_size)
    return experiment.method.examples(inputs)


def validation_plan(
    experiment: Experiment, examples: Examples, spec: GoalSpec, rows: FeedbackRows
) -> tuple[Examples, Plan] | None:
    """Held-out examples of the same kind with a plan of one pass; each row's goal is the highest that it reaches.

    All levels weigh the same, so that the loss can be compared between runs with different weights.
    """
    config, method = experiment.config.train, experiment.method
    inputs = _example_inputs(experiment, replace(spec, weights=()), rows, at_least=0)
    held_out = method.held_out(examples, inputs)
    count = min(len(held_out), config.validation_rows)
    if not count:
        return None
    uses_goals = method.uses_goals
    goals = saved_levels(spec).goals_of(rows)[:count] if uses_goals else np.full(count, np.nan)
    index = np.arange(count)
    micro = index // batching(config).micro_batch_size
    return held_out, Plan.of(step=micro, micro=micro, row=index, goal=goals, tokens=np.zeros_like(index))


def _example_inputs(experiment: Experiment, spec: GoalSpec, rows: FeedbackRows, *, at_least: int) -> ExampleInputs:
    config = experiment.config
    return ExampleInputs(
        rows, experiment.prompter(spec), config.train.max_length, spec.scale, seed=config.seed, at_least=at_least
    )


def make_plan(experiment: Experiment, examples: Examples, spec: GoalSpec, levels: Levels, budget: Budget) -> Plan:
    """Draw the batch plan from the config's seed."""
    config = experiment.config
    source = goal_source(experiment, examples, spec, levels)

    shares = config.shares_prompts
    apart = not shares or source.drawing.goal_first

    def measure(index: Ints, goals: Floats, missed: Floats, sequence: Ints) -> Measured:
        units = examples.encode(index, goals, missed)
        rows, number, unit, copy = packing_order(units, sequence, apart=apart)
        tokens = np.array([len(row.input_ids) for row in rows], dtype=np.int64)
        return Measured(
            supervised=np.array([sum(row.supervised for row in unit) for unit in units], dtype=np.int64),
            pair=unit,
            copy=copy,
            tokens=tokens,
            shared=shared_tokens(rows, number) if shares else np.zeros_like(tokens),
            apart=apart,
        )

    return draw_plan(source, measure, budget, batching(config.train, experiment.context), config.seed)


def goal_source(experiment: Experiment, examples: Examples, spec: GoalSpec, levels: Levels) -> GoalSource:
    """The goals of the examples, and how they are drawn."""
    rule, rows = _drawing(experiment, spec), examples.feedback
    prompts = rows.prompts if rule.rows_per_prompt > 1 else np.arange(len(examples))
    if isinstance(levels, JointLevels) and isinstance(spec, JointSpec):
        values = [part.values for part in levels.parts]
        return JointGoals(levels.reached_by(rows), values, prompts, rule, spec.parts_dropout)
    uses_goals = experiment.method.uses_goals
    highest = levels.reached_by(rows) if uses_goals else np.zeros(len(examples), dtype=np.int64)
    return LevelGoals(highest, prompts, levels.values, rule, levels.unbeaten(rows))


def _drawing(experiment: Experiment, spec: GoalSpec) -> Drawing:
    config = experiment.config
    if not experiment.method.uses_goals:
        return Drawing("none", "none", "none", rows_per_prompt=config.rows_together)
    return Drawing(
        spec.formulation,
        spec.pairing,
        spec.balance,
        spec.dropout,
        together=config.pairs_together,
        weighting=str(config.goal.pairing_weight),
        rows_per_prompt=config.rows_together,
        goal_first=config.goal.placement not in AFTER_PROMPT,
        missed=str(config.goal.missed.level) if config.misses_goals else "none",
        missed_gap=config.goal.missed.gap or 0.0,
    )


def batching(config: TrainConfig, context: int | None = None) -> Batching:
    """Rows and tokens per optimizer step and per forward pass; `context` is the model's maximum in tokens."""
    return Batching(
        batch_size=config.batch_size,
        micro_batch_size=config.micro_batch_size or config.batch_size,
        tokens_per_batch=config.tokens_per_batch,
        batches_per_step=config.batches_per_step,
        context=math.inf if context is None else context,
    )


def plan_budget(config: TrainConfig, tokens_per_second: float) -> Budget:
    """How much the plan holds; seconds are converted to processed tokens at the given speed."""
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


def budget_text(config: TrainConfig) -> str:
    """`50,000 tokens`, `1 epoch`, `2 epochs, at most 100 steps`."""
    budget = config.budget
    epochs = budget.epochs or 1.0
    text = f"{epochs:g} epoch{'' if epochs == 1 else 's'}"
    for amount, unit in (
        (budget.seconds, "seconds"),
        (budget.supervised_tokens, "supervised tokens"),
        (budget.tokens, "tokens"),
    ):
        if amount is not None:
            text = f"{amount:,} {unit}"
    return text if config.max_steps is None else f"{text}, at most {config.max_steps} steps"


def planned_share(experiment: Experiment) -> float | None:
    """Maximum tokens of a sequence of rows that share a prompt, as planned; `None` where rows share nothing."""
    config = experiment.config
    return batching(config.train, experiment.context).limit if config.shares_prompts else None


def possible_share(experiment: Experiment, model: "PreTrainedModel", examples: Examples, plan: Plan) -> float | None:
    """The same, after checking on the plan's batches that the model computes shared prompts exactly.

    Logs a line with the reason where rows could share their prompts but the model or the adapter prevents it.

    Raises:
        ConfigError: `train.shared_prefix=on` and the model cannot share prompts.
    """
    config, limit = experiment.config, planned_share(experiment)
    if config.together and config.adapter.drops and config.train.shared_prefix is not SharedPrefix.off:
        log.warning(UNSHARED, f"adapter.dropout={config.adapter.dropout} drops other values in every row")
    if limit is None:
        return None
    from gcsl_cli.training.shared_prefix import enable_flex_attention, why_not_shared

    attention = attention_of(model.config)
    if config.train.attention is Attention.auto:
        enable_flex_attention(model)
    reason = why_not_shared(model, examples.planned(plan, limit), experiment.tokenizer.pad_token_id)
    if reason is None:
        return limit
    if config.train.shared_prefix is SharedPrefix.on:
        raise ConfigError(
            f"train.shared_prefix=on: this model cannot share prompts between rows: {reason}. Use "
            "train.shared_prefix=auto."
        )
    model.set_attn_implementation(attention)
    log.warning(UNSHARED, reason)
    return None


def savings_text(counts: dict[str, int]) -> str:
    """Tokens saved by shared prompts."""
    times = counts["tokens_written_out"] / counts["tokens"]
    split = f", {counts['rows_split']} rows split over sequences" if counts["rows_split"] else ""
    return f"{times:.1f} times fewer tokens ({counts['tokens']:,} for {counts['tokens_written_out']:,}{split})"


def count_rows(examples: Examples, plan: Plan, share: float | None = None) -> dict[str, int]:
    """Processed and supervised tokens, rows cut at the length limit, rows whose prompt boundary retokenized.

    Where rows share their prompts: also their tokens without sharing, and rows split over several sequences.

    Raises:
        DataError: a row has no supervised token.
    """
    tokens = supervised = cut = seam = computed = sequences = 0
    for batch in plan.micro_batches():
        index = plan.row[batch]
        rows, number, unit, _ = packed_rows(examples, plan, batch, share)
        for place, row in zip(unit.tolist(), rows, strict=True):
            tokens += len(row.input_ids)
            supervised += row.supervised
            cut += row.truncated
            seam += row.retokenized
            if not row.completion_tokens:
                prompt = examples.prompt(int(index[place]))
                raise DataError(
                    f"The row with the prompt {prompt[:60]!r} has no supervised token: its prompt and "
                    f"goal take {row.prompt_tokens} tokens or its completion is empty. Raise train.max_length "
                    f"(now {examples.max_length}) or remove the row."
                )
        if share is not None:
            shared = branched(rows, number, share)
            computed += sum(sequence.tokens for sequence in shared)
            sequences += len(shared)
    counts = {"tokens": tokens, "supervised_tokens": supervised, "rows_cut": cut, "rows_seam": seam}
    if share is None:
        return counts
    split = sequences - len(np.unique(plan.sequence))
    return counts | {"tokens": computed, "tokens_written_out": tokens, "rows_split": split}
