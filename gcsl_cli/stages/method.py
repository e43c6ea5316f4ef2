"""The method of a config: what it trains on, how that is drawn, and with which trainer of TRL's."""

from typing import TYPE_CHECKING

import numpy as np

from gcsl_cli.configs.choices import AFTER_PROMPT
from gcsl_cli.configs.schema import Config
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.goals.levels import Levels
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.methods.preferences import Pairs, desirable, preference_pairs
from gcsl_cli.models.loading import load_model
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.goal import levels_of
from gcsl_cli.stages.policy import base_dtype
from gcsl_cli.training.drawing import Drawing
from gcsl_cli.training.examples import GoalExamples, LabelledExamples, PairExamples
from gcsl_cli.training.plan import Floats, Ints, Plan

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gcsl_cli.training.loop import MakeTrainer

AnyExamples = GoalExamples | PairExamples | LabelledExamples


def make_examples(experiment: Experiment, spec: GoalSpec, train: FeedbackRows) -> AnyExamples:
    """What the method trains on.

    Raises:
        DataError: there are too few pairs, or labels of one kind only.
    """
    method, limit = experiment.config.method, experiment.config.train.max_length
    prompter = experiment.prompter(spec)
    if experiment.config.method_name == "dpo":
        least = experiment.config.train.batch_size
        return PairExamples(train, _pairs(experiment, train, least), prompter, limit)
    if experiment.config.method_name == "kto":
        threshold = None if method.threshold is None else spec.scale.score(method.threshold)
        return LabelledExamples(train, desirable(train.scores, threshold), prompter, limit)
    return GoalExamples(train, prompter, limit)


def validation_examples(
    experiment: Experiment, examples: AnyExamples, spec: GoalSpec, rows: FeedbackRows
) -> tuple[AnyExamples, Plan] | None:
    """Held-out examples of the same kind in a plan of their own; goals are the highest that the rows reach."""
    config = experiment.config.train
    held_out: AnyExamples
    goals = np.full(len(rows), np.nan)
    if isinstance(examples, PairExamples):
        held_out = PairExamples(rows, _pairs(experiment, rows, 0), examples.prompter, config.max_length)
    elif isinstance(examples, LabelledExamples):
        cut = float(examples.feedback.scores[examples.labels].min())
        held_out = LabelledExamples(rows, rows.scores >= cut, examples.prompter, config.max_length)
    else:
        held_out = GoalExamples(rows, examples.prompter, config.max_length)
        goals = levels_of(spec).held_out(rows.scores, rows.prompts)
    count = min(len(held_out), config.validation_rows)
    if not count:
        return None
    index = np.arange(count)
    micro = index // (config.micro_batch_size or config.batch_size)
    return held_out, Plan.of(step=micro, micro=micro, row=index, goal=goals[:count], tokens=np.zeros_like(index))


def drawing(config: Config, examples: AnyExamples, spec: GoalSpec, levels: Levels) -> tuple[Ints, Floats, Drawing]:
    """The highest level of each example, the levels, and how (example, level) pairs are drawn."""
    if isinstance(examples, GoalExamples):
        rows = examples.feedback
        rule = Drawing(
            spec.formulation,
            spec.pairing,
            spec.balance,
            spec.dropout,
            together=config.pairs_together,
            weighting=str(config.goal.pairing_weight),
            rows_per_prompt=config.rows_together,
            goal_first=not config.goalless and config.goal.placement not in AFTER_PROMPT,
        )
        return levels.highest(rows.scores, rows.prompts), levels.values, rule
    return np.zeros(len(examples), dtype=np.int64), np.array([np.nan]), Drawing("none", "none", "none")


def make_trainer(
    experiment: Experiment,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    examples: AnyExamples,
    plan: Plan,
    validation: tuple[AnyExamples, Plan] | None,
    adapter: "PeftConfig | None",
    *,
    bf16: bool,
    share: float | None = None,
) -> "MakeTrainer":
    """The method's trainer over the planned examples; `share` as `GoalExamples.planned` takes it."""
    method = experiment.config.method
    if isinstance(examples, GoalExamples):
        from gcsl_cli.training.sft import sft_trainer

        held_out = None
        if validation is not None and isinstance(validation[0], GoalExamples):
            held_out = validation[0].planned(validation[1])
        rate = experiment.config.train.control_token_learning_rate
        return sft_trainer(model, tokenizer, examples.planned(plan, share), held_out, adapter, rate)
    from gcsl_cli.methods.trainers import dpo_trainer, kto_trainer

    others = None
    if validation is not None and not isinstance(validation[0], GoalExamples):
        others = validation[0].planned(validation[1])
    data = (model, tokenizer, examples.planned(plan), others, adapter)
    reference = None
    if adapter is None:
        reference = load_model(experiment.base_path, base_dtype(frozen=True, bf16=bf16))
    micro = experiment.config.train.micro_batch_size or experiment.config.train.batch_size
    if isinstance(examples, PairExamples):
        return dpo_trainer(*data, reference=reference, micro_batch_size=micro, beta=method.beta)
    return kto_trainer(
        *data,
        reference=reference,
        micro_batch_size=micro,
        beta=method.beta,
        desirable_weight=method.desirable_weight,
        undesirable_weight=method.undesirable_weight,
    )


def _pairs(experiment: Experiment, rows: FeedbackRows, least: int) -> Pairs:
    method = experiment.config.method
    return preference_pairs(
        rows.scores,
        rows.prompts,
        pairs=str(method.pairs),
        margin=method.margin,
        most=method.max_pairs,
        seed=experiment.config.seed,
        least=least,
    )
