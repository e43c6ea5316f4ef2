"""Evaluate several scores: what each arm reaches in all of them, how the parts of a goal interact, and the front."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.goals.joint import JointSpec
from gcsl_cli.goals.parts import Part
from gcsl_cli.metrics.attainment import mean_score, reached_share
from gcsl_cli.metrics.bootstrap import PerPrompt, interval
from gcsl_cli.metrics.cross_talk import attained_ranks, moved
from gcsl_cli.metrics.front import hypervolume_estimate, on_front
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import ensure_feedback

if TYPE_CHECKING:
    from gcsl_cli.stages.evaluation.answers import Answers

MOST_SCORES = 3
"""Scores up to which the hypervolume is computed; it takes exponentially longer with each."""


def several_scores(experiment: Experiment, answers: "Sequence[Answers]") -> dict[str, Any] | None:
    """What arms reach in several scores; `None` where rows have one, or new completions cannot be graded."""
    graded = [found for found in answers if found.parts]
    if not graded:
        return None
    parts = experiment.task.parts(ensure_feedback(experiment))
    trained = [found for found in graded if found.arm.trained]
    points = np.array([[float(np.nanmean(found.parts[name])) for name in parts] for found in trained])
    front = on_front(points) if trained else np.empty(0, dtype=np.bool_)
    return {
        "scores": {
            name: {"lower_is_better": part.scale.lower_is_better, "low": part.scale.low, "high": part.scale.high}
            for name, part in parts.items()
        },
        "weights": {name: part.weight for name, part in parts.items()},
        "arms": [_arm(experiment, found, parts) for found in graded],
        "front": [found.arm.name for found, here in zip(trained, front, strict=True) if here],
        "hypervolume": _hypervolume(experiment, trained, parts),
        "parts": _interaction(experiment, [found for found in trained if found.arm.plain]),
    }


def _arm(experiment: Experiment, found: "Answers", parts: Mapping[str, Part]) -> dict[str, Any]:
    """The mean of each score in grades, and the share of completions that reach what the arm is asked for."""
    spec, goal = experiment.spec, found.arm.goal
    asked: dict[str, float] = {}
    levels: dict[str, float | None] = {}
    if isinstance(spec, JointSpec) and goal is not None:
        asked, levels = spec.asked(goal), dict(zip(spec.names, spec.levels_of_goal(goal), strict=True))
    shares = {
        name: _estimate(experiment, reached_share(level, found.parts[name]))
        for name, level in levels.items()
        if level is not None and name in found.parts
    }
    return {
        "name": found.arm.name,
        "label": found.arm.label,
        "trained": found.arm.trained,
        "asked": asked,
        "means": {
            name: _estimate(experiment, mean_score(part.grades(found.parts[name]))) for name, part in parts.items()
        },
        "shares": shares,
        "all": _estimate(experiment, _all_reached(levels, found.parts)) if shares else None,
    }


def _all_reached(levels: Mapping[str, float | None], scores: Mapping[str, Floats]) -> PerPrompt:
    """The share of completions that reach all that is asked for."""
    reached = np.all([scores[name] >= level for name, level in levels.items() if level is not None], axis=0)
    return mean_score(reached.astype(np.float64))


def _hypervolume(experiment: Experiment, trained: "Sequence[Answers]", parts: Mapping[str, Part]) -> Any:
    if len(parts) > MOST_SCORES:
        return None
    config = experiment.config.evaluation
    arms = [[mean_score(part.from_0_to_1(found.parts[name])) for name, part in parts.items()] for found in trained]
    return hypervolume_estimate(arms, resamples=config.bootstrap, seed=config.seed).as_dict()


def _interaction(experiment: Experiment, asked: "Sequence[Answers]") -> list[dict[str, Any]]:
    """For each part of the goal: the rank correlation of asked and achieved, and how asking for it moves all scores."""
    spec, config = experiment.spec, experiment.config.evaluation
    if not isinstance(spec, JointSpec) or not asked:
        return []
    goals: Ints = np.array([spec.levels_of_parts(float(found.arm.goal or 0)) for found in asked])
    scores = {name: [mean_score(found.parts[name]) for found in asked] for name in spec.names}
    found = []
    for place, name in enumerate(spec.names):
        ranks = attained_ranks(goals, place, scores[name])
        effects = {
            other: moved(goals, place, scores[other], resamples=config.bootstrap, seed=config.seed)
            for other in spec.names
        }
        found.append(
            {
                "name": name,
                "ranks": [None if np.isnan(rank) else rank for rank in ranks],
                "moves": {other: None if effect is None else effect.as_dict() for other, effect in effects.items()},
            }
        )
    return found


def _estimate(experiment: Experiment, metric: PerPrompt) -> dict[str, Any]:
    config = experiment.config.evaluation
    return interval(metric, resamples=config.bootstrap, seed=config.seed).as_dict()
