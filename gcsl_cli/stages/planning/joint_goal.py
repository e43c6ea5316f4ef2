"""The goal of several scores: a goal spec for each, put together, and the combinations that training rows have."""

from dataclasses import fields, replace

from gcsl_cli.configs.choices import LevelRule
from gcsl_cli.configs.goal_schema import GoalConfig
from gcsl_cli.configs.schema import Config
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.errors import ConfigError, DataError, GcslError
from gcsl_cli.goals.combinations import distinct
from gcsl_cli.goals.joint import PLACE, JointLevels, JointSpec, most_frequent
from gcsl_cli.goals.levels import Levels
from gcsl_cli.goals.parts import Part
from gcsl_cli.goals.scale import Scale
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.goals.wording import FRAMES, JOINS
from gcsl_cli.stages.planning.score_goal import PartOf, score_goal


def make_joint_goal(config: Config, feedback: FeedbackRows, train: FeedbackRows) -> tuple[GoalSpec, Levels]:
    """The goal spec of a run on several scores, and the levels that its rows are measured against.

    Raises:
        ConfigError: the levels or the wording of a part cannot be used, or the target is not among the levels.
        DataError: no training row has one of the scores, or all have the same.
    """
    task, goal = config.task, config.goal
    parts = task.parts(feedback)
    specs: dict[str, GoalSpec] = {}
    levels: dict[str, Levels] = {}
    for number, name in enumerate(config.part_names):
        rows = train.graded_by(name)
        if not len(rows):
            others = [other for other in config.part_names if other != name]
            raise DataError(
                f"No training row has a score for {name}, so there is nothing to learn about it. Leave it out: "
                f"goal.parts.names=[{','.join(others)}]."
            )
        of = PartOf(number, parts[name])
        try:
            specs[name], levels[name] = score_goal(config, _goal_of(goal, name, of.part), of.part.scale, rows, of)
        except GcslError as error:
            raise type(error)(f"{name}: {_of_part(str(error), name)}") from error
    joint = JointLevels.of(levels)
    spec = _together(config, specs, task.grade_scale(feedback), train, joint)
    spec.goal()
    return spec, joint


def _of_part(message: str, name: str) -> str:
    """A message about the goal of one score, with the keys by which a score has settings of its own."""
    for key, own in (("levels.values", "levels"), ("template", "templates"), ("sentences", "sentences")):
        message = message.replace(f"goal.{key}", f"goal.parts.{own}.{name}")
    return message


def _together(
    config: Config, specs: dict[str, GoalSpec], scale: Scale, train: FeedbackRows, levels: JointLevels
) -> JointSpec:
    goal, wording = config.goal, str(config.goal.wording)
    frame = goal.parts.frame
    if frame is None:
        frame = (config.task.goal_frame() if wording == "language" else None) or FRAMES[wording]
    if frame.count(PLACE) != 1:
        raise ConfigError(
            f"goal.parts.frame={frame!r}: needs the placeholder {PLACE} exactly once, for the phrases of the parts."
        )
    combinations, _, rows = distinct(levels.reached_by(train), levels.counts)
    frequent, counts = most_frequent(combinations, rows)
    first, parts = next(iter(specs.values())), tuple(specs.values())
    whole = {field.name: getattr(first, field.name) for field in fields(GoalSpec)} | {
        "level_rule": "joint",
        "levels": (),
        "texts": tuple(text for part in parts for text in part.texts),
        "words": tuple(words for part in parts for words in part.words),
        "weights": (),
        "target": goal.target,
        "scale": scale,
        "training_range": (float(train.scores.min()), float(train.scores.max())),
    }
    return JointSpec(
        **whole,
        names=tuple(specs),
        parts=parts,
        frame=frame,
        joins=JOINS[wording] if goal.parts.join is None else (goal.parts.join, goal.parts.join),
        parts_dropout=goal.parts.dropout,
        combinations=frequent,
        rows=counts,
    )


def _goal_of(goal: GoalConfig, name: str, part: Part) -> GoalConfig:
    """The goal group as it applies to one of several scores."""
    given = [float(value) for value in (goal.parts.levels or {}).get(name) or part.levels]
    sentences = (goal.parts.sentences or {}).get(name)
    template = None if sentences else (goal.parts.templates or {}).get(name, goal.parts.template)
    by = LevelRule.fixed if given else goal.levels.by
    return replace(
        goal,
        levels=replace(goal.levels, by=by, values=given),
        template=template,
        sentences=sentences,
        target="best",
    )
