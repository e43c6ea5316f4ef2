"""The goal of one score, alone or as a part of several: its levels, their wording, and their weights."""

import logging
from dataclasses import dataclass

from gcsl_cli.configs.choices import Formulation
from gcsl_cli.configs.goal_checks import shown
from gcsl_cli.configs.goal_schema import GoalConfig
from gcsl_cli.configs.schema import Config
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.levels import Levels, make_levels
from gcsl_cli.goals.parts import Part
from gcsl_cli.goals.scale import Scale
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.goals.wording import (
    RAW_TEMPLATE,
    check_distinct,
    check_template,
    default_template,
    fill_template,
    goal_texts,
    part_template,
    pick_sentences,
)
from gcsl_cli.tasks.base import Task

SEPARATORS = {"role": " ", "token": ""}

log = logging.getLogger("gcsl")


@dataclass(frozen=True, slots=True)
class PartOf:
    """Which of several scores a goal is for."""

    number: int
    part: Part

    @property
    def tokens(self) -> str:
        """The name of its control tokens."""
        return f"goal_{self.number}"


def score_goal(
    config: Config, goal: GoalConfig, scale: Scale, train: FeedbackRows, of: PartOf | None = None
) -> tuple[GoalSpec, Levels]:
    """The goal spec of one score, which may be one `of` several.

    Raises:
        ConfigError: levels, wording and weights contradict each other, or the target is not among the levels.
        DataError: all scores are equal, so there is nothing to learn.
    """
    task = config.task
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
    phrases = () if raw else _phrases(goal, task if of is None else of.part, levels, scale)
    weights = level_weights(goal.weights or [], levels, train)
    spec = GoalSpec(
        task=task.name,
        formulation=str(goal.formulation),
        wording=str(goal.wording),
        level_rule=levels.rule,
        per=levels.per,
        levels=() if raw else tuple(levels.values.tolist()),
        texts=goal_texts(str(goal.wording), phrases, goal.tokens, "goal" if of is None else of.tokens),
        template=template,
        words=phrases if token else (),
        weights=weights,
        placement=str(goal.placement),
        separator=_separator(goal),
        pairing=str(config.pairing),
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


def _phrases(goal: GoalConfig, task: Task | Part, levels: Levels, scale: Scale) -> tuple[str, ...]:
    """The phrase of each level, in words or as a number; a control token stands for its phrase."""
    wording, formulation = str(goal.wording), str(goal.formulation)
    given = goal.sentences or (task.sentences if wording != "number" else [])
    if given and goal.template is None:
        sentences = pick_sentences(given, len(levels.values))
        check_distinct(sentences, "goal.sentences" if goal.sentences else "task.sentences")
        return sentences
    of_task = task.templates.get(formulation) if wording != "number" and levels.per == "dataset" else None
    template = goal.template or of_task
    if template is None and isinstance(task, Part):
        template = part_template(wording, formulation, scale)
    template = template or default_template(wording, formulation, levels.per, levels.rule, scale)
    check_template(template, levels.per, levels.rule)
    grades = levels.values if levels.per == "prompt" else [scale.grade(level) for level in levels.values]
    phrases = fill_template(template, list(grades), scale)
    check_distinct(phrases, f"goal.template={template!r}")
    return phrases


def _separator(goal: GoalConfig) -> str:
    if goal.separator is not None:
        return goal.separator
    return SEPARATORS.get(str(goal.placement), SEPARATORS.get(str(goal.wording), "\n"))
