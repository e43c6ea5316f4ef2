"""Check all values that can be checked without data, so that a typo costs a second and not a run."""

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from operator import attrgetter
from typing import Any

from gcsl_cli.configs import ranges
from gcsl_cli.configs.adapter_checks import adapter_problems
from gcsl_cli.configs.choices import Formulation, SharedPrefix, Wording
from gcsl_cli.configs.distributed_checks import distributed_problems
from gcsl_cli.configs.goal_checks import goal_problems, shown
from gcsl_cli.configs.part_checks import (
    REACHABLE,
    WHOLE,
    guidance_problems,
    part_problems,
    target_problems,
    unnamed_target,
)
from gcsl_cli.configs.round_checks import round_problems
from gcsl_cli.configs.schema import Config
from gcsl_cli.errors import ConfigError, did_you_mean, listed
from gcsl_cli.runs.folders import flatten

# The members of transformers.SchedulerType (transformers 5) that need no further arguments.
SCHEDULES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)
BUDGETS = ("epochs", "tokens", "supervised_tokens", "seconds")
CHECKPOINTING = ("auto", True, False)
COUNTS = (
    "goal.tokens",
    "adapter.r",
    "adapter.alpha",
    "train.batch_size",
    "train.micro_batch_size",
    "train.tokens_per_batch",
    "train.batches_per_step",
    "train.rows_per_prompt",
    "train.budget.tokens",
    "train.budget.supervised_tokens",
    "train.max_steps",
    "train.max_length",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.log_every",
    "train.validate_every",
    "train.validation_rows",
    "generation.samples",
    "generation.prompts",
    "generation.max_new_tokens",
    "generation.batch_size",
    "generation.shard_prompts",
    "evaluation.bootstrap",
)
NOT_NEGATIVE = (
    "train.warmup_steps",
    "train.weight_decay",
    "train.max_grad_norm",
    "evaluation.discrimination_rows",
    "evaluation.examples",
)
POSITIVE = (
    "train.budget.epochs",
    "train.budget.seconds",
    "train.learning_rate",
    "train.control_token_learning_rate",
)


def validate(config: Config) -> None:
    """Raise `ConfigError` for the first value out of a range that is known without data, with the fix."""
    for problem in _problems(config):
        raise ConfigError(problem)


def _problems(config: Config) -> Iterator[str]:
    for in_range, paths in ((ranges.count, COUNTS), (ranges.not_negative, NOT_NEGATIVE), (ranges.positive, POSITIVE)):
        for path in paths:
            yield from in_range(path, attrgetter(path)(config))
    yield from _by_name(config)
    yield from ranges.folder("run", config.run)
    yield from ranges.folder("runs_dir", config.runs_dir)
    for path in ("task.name", "method.name", "model.name"):
        yield from ranges.name(path, str(getattr(getattr(config, path.partition(".")[0]), "name", path)))
    train, generation = config.train, config.generation
    micro = train.micro_batch_size
    if micro is not None and train.batch_size % micro:
        divisor = next(number for number in range(micro, 0, -1) if train.batch_size % number == 0)
        yield (
            f"train.micro_batch_size={micro}: does not divide train.batch_size={train.batch_size}. "
            f"Use a divisor, such as {divisor}."
        )
    if train.gradient_checkpointing not in CHECKPOINTING:
        yield f"train.gradient_checkpointing={train.gradient_checkpointing}: expected auto, true or false."
    yield from adapter_problems(config)
    if train.lr_schedule not in SCHEDULES:
        near = did_you_mean(train.lr_schedule, SCHEDULES)
        yield f"train.lr_schedule={train.lr_schedule}: no such schedule.{near} Allowed: {listed(SCHEDULES)}."
    yield from ranges.top_p("generation.top_p", generation.top_p)
    yield from ranges.temperature("generation.temperature", generation.temperature)
    yield from goal_problems(config.goal)
    yield from part_problems(config)
    yield from _token_rate(config)
    budgets = [f"train.budget.{name}={value}" for name in BUDGETS if (value := getattr(train.budget, name)) is not None]
    if len(budgets) > 1:
        yield f"{' and '.join(budgets)}: a run has one budget. Set only one of them."
    yield from _batches(config)
    yield from distributed_problems(config)
    yield from _method(config)
    yield from guidance_problems(config)
    if not config.method.uses_goals and (config.generation.guidance or config.generation.target is not None):
        key = "target" if config.generation.target is not None else "guidance"
        yield (
            f"generation.{key}={getattr(config.generation, key)} with a model trained without goals: it has no goal to "
            "ask for. Leave it out, or choose a goal (method=gcsl goal=threshold)."
        )
    yield from _targets(config)
    yield from round_problems(config)


def _by_name(config: Config) -> Iterator[str]:
    """Check seeds and checksums wherever they are, also in the keys of a task."""
    for path, value in flatten(asdict(config)).items():
        name = path.rpartition(".")[2]
        if name == "seed" and isinstance(value, int):
            yield from ranges.seed(path, value)
        if name.endswith("sha256"):
            yield from ranges.sha256(path, value)


def _token_rate(config: Config) -> Iterator[str]:
    rate = config.train.control_token_learning_rate
    if rate is None or not config.method.uses_goals:
        return
    if config.goal.wording is not Wording.token:
        yield (
            f"train.control_token_learning_rate={rate} without control tokens has no effect. Use "
            "goal.wording=token, or train.learning_rate."
        )
    if config.adapter.name == "none":
        yield (
            f"train.control_token_learning_rate={rate} with adapter=none: full fine-tuning trains all embeddings at "
            "train.learning_rate. Use adapter=lora, or leave it out."
        )


def _batches(config: Config) -> Iterator[str]:
    train = config.train
    if train.tokens_per_batch and train.micro_batch_size:
        yield "train.tokens_per_batch and train.micro_batch_size both size a forward pass. Set only one of them."
    if train.tokens_per_batch and not config.method.plans_batches:
        yield (
            f"train.tokens_per_batch with method={config.method.name}: its batches are sized in rows. "
            "Use train.micro_batch_size."
        )
    if train.batches_per_step > 1 and not train.tokens_per_batch:
        yield (
            f"train.batches_per_step={train.batches_per_step} without train.tokens_per_batch: rows are split by "
            "train.micro_batch_size. Use that, or set train.tokens_per_batch."
        )
    if train.shared_prefix is SharedPrefix.on and config.adapter.drops:
        yield (
            f"train.shared_prefix=on with adapter.dropout={config.adapter.dropout}: dropout differs from row to "
            "row, so a prefix cannot be shared. Use adapter.dropout=0, or train.shared_prefix=auto."
        )
    if train.shared_prefix is SharedPrefix.on and not config.shares_prompts:
        yield (
            "train.shared_prefix=on: there is nothing to share. Sharing requires a goal after the prompt "
            "(goal.placement=after_prompt or assistant_prefix) with all levels that a row reaches "
            "(goal.formulation=threshold goal.pairing=all), or train.rows_per_prompt above 1."
        )


def _method(config: Config) -> Iterator[str]:
    method, below = config.method, config.train.score_below
    if below is not None and not math.isfinite(below):
        yield f"train.score_below={below}: must be a finite grade, or null for all rows."
    own_name = type(method).name
    if type(method).__module__.startswith("gcsl_cli.") and method.name != own_name:
        yield f"method.name={method.name}: this method is called {own_name}. Use method={own_name}."
    if method.uses_goals and config.goal.formulation is Formulation.none:
        yield (
            f"goal.formulation=none with method={method.name}, which trains with goals. Use method=sft, or choose a "
            "goal (goal=threshold)."
        )
    yield from method.problems(config.train.micro_batch_size or config.train.batch_size)


def _targets(config: Config) -> Iterator[str]:
    targets = {"goal.target": config.goal.target, "generation.target": config.generation.target}
    for path, target in targets.items():
        allowed = "best, worst or a level"
        if path == "generation.target":
            if target is None:
                continue
            allowed += ", or null for the target of the goal"
        if isinstance(target, Mapping):
            yield from target_problems(path, target, config)
        elif len(config.part_names) > 1 and target not in WHOLE:
            yield unnamed_target(path, target, config)
        elif target == REACHABLE and config.part_names:
            continue
        elif not _is_target(target):
            yield f"{path}={target}: expected {allowed}.{did_you_mean(str(target), ['best', 'worst'])}"
    against = config.generation.against
    if isinstance(against, Mapping):
        yield from target_problems("generation.against", against, config)
    elif len(config.part_names) > 1 and against not in (*WHOLE, "none"):
        yield unnamed_target("generation.against", against, config)
    elif against != "none" and not _is_target(against):
        near = did_you_mean(str(against), ["worst", "best", "none"])
        yield f"generation.against={against}: expected worst, none, or a level.{near}"
    levels = config.evaluation.levels
    for level in levels if isinstance(levels, list) else []:
        if isinstance(level, Mapping):
            yield from target_problems("evaluation.levels", level, config)
    listed_levels = isinstance(levels, list) and levels and all(map(_is_level, levels))
    if levels != "all" and not listed_levels:
        yield (
            f"evaluation.levels={shown(levels)}: expected all, or a list of best, worst and scores. "
            "Example: evaluation.levels=[worst,best]"
        )
    cut = config.evaluation.discrimination_cut
    if cut is not None and not math.isfinite(cut):
        yield f"evaluation.discrimination_cut={cut}: must be a finite score, or null for the median."


def _is_level(value: Any) -> bool:
    return isinstance(value, Mapping) or _is_target(value)


def _is_target(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return value in ("best", "worst") or (isinstance(value, int | float) and abs(value) <= sys.float_info.max)
