"""From a config, a task and training scores to the goal: its levels, their wording, and the targets it allows."""

import logging
from typing import cast

import numpy as np

from gcsl_cli.configs.choices import Formulation
from gcsl_cli.configs.goal_checks import shown
from gcsl_cli.configs.schema import Config, GoalConfig
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.levels import Levels, make_levels
from gcsl_cli.goals.scale import Scale
from gcsl_cli.goals.spec import GoalSpec, no_goal_spec
from gcsl_cli.goals.wording import (
    RAW_TEMPLATE,
    check_distinct,
    check_template,
    default_template,
    fill_template,
    goal_texts,
    pick_sentences,
)
from gcsl_cli.methods.base import Method
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import evaluation_prompts
from gcsl_cli.tasks.base import Task

SEPARATORS = {"role": " ", "token": ""}

log = logging.getLogger("gcsl")


def make_goal(config: Config, feedback: FeedbackRows, train: FeedbackRows) -> tuple[GoalSpec, Levels]:
    """The goal spec of a run and the levels that its rows are measured against.

    Raises:
        ConfigError: levels, wording and weights contradict each other, or the target is not among the levels.
        DataError: all scores are equal, so there is nothing to learn.
    """
    goal, task = config.goal, config.task
    scale = task.grade_scale(feedback)
    if not config.method.uses_goals:
        reach = (float(train.scores.min()), float(train.scores.max()))
        spec = no_goal_spec(task.name, task.prompt_format(), task.instruction, scale, reach)
        return spec, Levels("none", "dataset", np.array([np.nan]))
    values = sorted(scale.score(value) for value in goal.levels.values)
    levels = make_levels(
        train.scores,
        train.prompts,
        by=str(goal.levels.by),
        per=str(goal.levels.per),
        quantiles=goal.levels.quantiles,
        values=values,
        beyond=config.train.score_below is not None,
        # Exact goals divide the rows into bins, the highest of which includes the best grade.
        best_grade=goal.formulation is Formulation.threshold,
    )
    if levels.rule == "fixed" and len(levels.values) <= len(values):
        log.info("levels at or below the lowest training score are merged into it (%s)", scale.grade(levels.values[0]))
    raw, token = levels.rule == "raw", str(goal.wording) == "token"
    template = (goal.template or RAW_TEMPLATE) if raw else ""
    if raw:
        check_template(template, levels.per, levels.rule)
    phrases = () if raw else _phrases(goal, task, levels, scale)
    weights = level_weights(goal.weights or [], levels, train)
    spec = GoalSpec(
        task=task.name,
        formulation=str(goal.formulation),
        wording=str(goal.wording),
        level_rule=levels.rule,
        per=levels.per,
        levels=() if raw else tuple(levels.values.tolist()),
        texts=goal_texts(str(goal.wording), phrases, goal.tokens),
        template=template,
        words=phrases if token else (),
        weights=weights,
        placement=str(goal.placement),
        separator=_separator(goal),
        pairing=str(goal.paired),
        balance=str(goal.balance),
        dropout=goal.dropout,
        target=goal.target,
        scale=scale,
        prompt_format=task.prompt_format(),
        instruction=task.instruction,
        training_range=(float(train.scores.min()), float(train.scores.max())),
    )
    spec.goal()
    return spec, levels


def level_weights(weights: list[float], levels: Levels, train: FeedbackRows) -> tuple[float, ...]:
    """Loss weight of each level; if there are more levels than `weights`, the last weight is that of the best level.

    The best level is the best that any training row reaches; levels above it are never trained and have its weight.

    Raises:
        ConfigError: there are more weights than levels.
    """
    count = len(levels.values)
    if len(weights) > count:
        raise ConfigError(
            f"goal.weights={shown(weights)}: {len(weights)} weights for {count} levels. Give at most one per level, "
            "worst first."
        )
    reached = int(levels.highest(train.scores, train.prompts).max()) + 1 if weights else count
    beyond = min(count - reached, count - len(weights))
    below = count - len(weights) - beyond
    return tuple(weights[:1] * below + weights + weights[-1:] * beyond)


def training_rows(config: Config, feedback: FeedbackRows) -> FeedbackRows:
    """The rows of the training split that the method uses."""
    return cast("Method", config.method).training_rows(_bounded(config, feedback), config.task.grade_scale(feedback))


def _bounded(config: Config, feedback: FeedbackRows) -> FeedbackRows:
    """The training split, limited to grades worse than `train.score_below` if that is set."""
    train, below = feedback.of_split("train"), config.train.score_below
    if below is None:
        return train
    kept = np.flatnonzero(train.scores < config.task.grade_scale(feedback).score(below))
    if not len(kept):
        raise DataError(
            f"train.score_below={below:g}: no training row is below it; the lowest score is {train.scores.min():g}."
        )
    log.info("%d of %d training rows are below train.score_below=%g", len(kept), len(train), below)
    return train.take(kept)


def _phrases(goal: GoalConfig, task: Task, levels: Levels, scale: Scale) -> tuple[str, ...]:
    """The phrase of each level, in words or as a number; a control token stands for its phrase."""
    wording = str(goal.wording)
    given = goal.sentences or (task.sentences if wording != "number" else [])
    if given and goal.template is None:
        sentences = pick_sentences(given, len(levels.values))
        check_distinct(sentences, "goal.sentences" if goal.sentences else "task.sentences")
        return sentences
    of_task = task.templates.get(str(goal.formulation)) if wording != "number" and levels.per == "dataset" else None
    template = (
        goal.template or of_task or default_template(wording, str(goal.formulation), levels.per, levels.rule, scale)
    )
    check_template(template, levels.per, levels.rule)
    grades = levels.values if levels.per == "prompt" else [scale.grade(level) for level in levels.values]
    phrases = fill_template(template, list(grades), scale)
    check_distinct(phrases, f"goal.template={template!r}")
    return phrases


def _separator(goal: GoalConfig) -> str:
    if goal.separator is not None:
        return goal.separator
    return SEPARATORS.get(str(goal.placement), SEPARATORS.get(str(goal.wording), "\n"))


def check_targets(experiment: Experiment, spec: GoalSpec) -> None:
    """Check the goals that generation and evaluation will request, before hours are spent on training.

    Raises:
        ConfigError: one of them is not among the levels.
        DataError: an evaluation prompt exceeds the model's context.
    """
    config = experiment.config
    levels = config.evaluation.levels
    asked = [config.generation.target, *(levels if isinstance(levels, list) else [])]
    against = config.generation.against
    goals: list[float | None] = [None]
    if spec.has_goal:
        named = {spec.goal(target) for target in asked if target is not None}
        named |= {spec.best, spec.worst, *spec.levels} | (set() if against == "none" else {spec.goal(against)})
        goals = [*sorted(named)]
    prompter = experiment.prompter(spec)
    prompts = evaluation_prompts(experiment)
    for goal in goals:
        prompter.all_prompt_ids([prompt.text for prompt in prompts], goal, config.generation.max_new_tokens)
