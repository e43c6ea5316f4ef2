"""From a config, a task and training scores to the goal: its levels, their wording, and the targets it allows."""

import logging
from typing import cast

import numpy as np

from gcsl_cli.configs.schema import Config
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.errors import DataError
from gcsl_cli.goals.levels import Levels
from gcsl_cli.goals.spec import GoalSpec, no_goal_spec
from gcsl_cli.methods.base import Method
from gcsl_cli.stages.evaluation.arms import guidance_contrasts
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import evaluation_prompts
from gcsl_cli.stages.fitting import longest_first
from gcsl_cli.stages.planning.joint_goal import make_joint_goal
from gcsl_cli.stages.planning.score_goal import score_goal

log = logging.getLogger("gcsl")


def make_goal(config: Config, feedback: FeedbackRows, train: FeedbackRows) -> tuple[GoalSpec, Levels]:
    """The goal spec of a run and the levels that its rows are measured against.

    Raises:
        ConfigError: levels, wording and weights contradict each other, or the target is not among the levels.
        DataError: all scores are equal, so there is nothing to learn.
    """
    task = config.task
    scale = task.grade_scale(feedback)
    if not config.method.uses_goals:
        reach = (float(train.scores.min()), float(train.scores.max()))
        spec = no_goal_spec(task.name, task.prompt_format(), task.instruction, scale, reach)
        return spec, Levels("none", "dataset", np.array([np.nan]))
    if config.part_names:
        return make_joint_goal(config, feedback, train)
    return score_goal(config, config.goal, scale, train)


def training_rows(config: Config, feedback: FeedbackRows) -> FeedbackRows:
    """The rows of the training split that the method uses."""
    rows = _bounded(config, feedback)
    if config.part_names:
        known = np.any([~np.isnan(rows.part(name)) for name in config.part_names], axis=0)
        rows = rows if known.all() else rows.take(np.flatnonzero(known))
    return cast("Method", config.method).training_rows(rows, config.task.grade_scale(feedback))


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


def check_targets(experiment: Experiment, spec: GoalSpec) -> None:
    """Check the goals that generation and evaluation will request, before hours are spent on training.

    Raises:
        ConfigError: one of them is not among the levels.
        DataError: evaluation prompts exceed the model's context.
    """
    config = experiment.config
    levels = config.evaluation.levels
    asked = [config.generation.target, *(levels if isinstance(levels, list) else [])]
    goals: list[float | None] = [None]
    if spec.has_goal:
        named = {spec.goal(target) for target in asked if target is not None}
        named |= {spec.best, spec.worst, *spec.levels}
        wanted = spec.goal(config.generation.target)
        others = guidance_contrasts(spec, wanted, config.generation.weights or {"": 0.0}, config.generation.against)
        goals = [*sorted(named | {other.goal for other in others if other.goal is not None})]
    prompter = experiment.prompter(spec)
    prompts = evaluation_prompts(experiment)
    for goal in longest_first(prompter, goals):
        prompter.all_prompt_ids(prompts, goal, config.generation.max_new_tokens)
