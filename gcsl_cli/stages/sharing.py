"""Whether rows of a run share their prompts in training: what the config asks for, and what the model can do."""

import logging
from typing import TYPE_CHECKING

from gcsl_cli.configs.choices import SharedPrefix
from gcsl_cli.errors import ConfigError
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.method import AnyExamples
from gcsl_cli.stages.optimisation import batching
from gcsl_cli.training.examples import GoalExamples
from gcsl_cli.training.plan import Plan

if TYPE_CHECKING:
    from transformers import PreTrainedModel

UNSHARED = "prompts are computed for every goal: %s"

log = logging.getLogger("gcsl")


def planned_share(experiment: Experiment) -> float | None:
    """Tokens at most of a sequence of rows that share their prompt, as it is planned; `None`: they share nothing."""
    config = experiment.config
    return batching(config.train, experiment.context).limit if config.shares_prompts else None


def share(experiment: Experiment, model: "PreTrainedModel", examples: AnyExamples, plan: Plan) -> float | None:
    """The same, once the model has been asked; says in a line why it cannot.

    Raises:
        ConfigError: `train.shared_prefix=on` and it cannot.
    """
    config, limit = experiment.config, planned_share(experiment)
    if config.together and config.adapter.drops and config.train.shared_prefix is not SharedPrefix.off:
        log.warning(UNSHARED, f"adapter.dropout={config.adapter.dropout} drops other values in every row")
    if limit is None or not isinstance(examples, GoalExamples):
        return None
    from gcsl_cli.training.shared_prefix import attend_by_blocks, why_not_shared

    attention = model.config._attn_implementation
    attend_by_blocks(model)
    reason = why_not_shared(model, examples.planned(plan, limit), experiment.tokenizer.pad_token_id)
    if reason is None:
        return limit
    if config.train.shared_prefix is SharedPrefix.on:
        raise ConfigError(
            f"train.shared_prefix=on: rows of this model cannot share a prompt: {reason}. Use train.shared_prefix=auto."
        )
    model.set_attn_implementation(attention)
    log.warning(UNSHARED, reason)
    return None


def told_saving(counts: dict[str, int]) -> str:
    """What sharing saved, in words."""
    times = counts["tokens_written_out"] / counts["tokens"]
    split = f", {counts['rows_split']} rows split over sequences" if counts["rows_split"] else ""
    return f"{times:.1f} times fewer tokens ({counts['tokens']:,} for {counts['tokens_written_out']:,}{split})"
