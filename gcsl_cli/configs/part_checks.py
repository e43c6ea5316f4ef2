"""Check the settings of goals with several parts: which parts, their levels and wording, and the targets of each."""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from gcsl_cli.configs import ranges
from gcsl_cli.configs.choices import LevelRule, LevelScope, Pairing, SamplingBackend
from gcsl_cli.configs.schema import Config
from gcsl_cli.errors import did_you_mean, listed

ENDS = ("best", "worst")
REACHABLE = "reachable"
"""A target of several scores together."""
WHOLE = (*ENDS, REACHABLE)
"""Targets that name no score."""


def part_problems(config: Config) -> Iterator[str]:
    """Yield one message per problem with the parts of the goal, each with the fix."""
    parts, known = config.goal.parts, config.score_names
    yield from ranges.between("goal.parts.dropout", parts.dropout, 0, 0.9, "0 asks for all parts in every row.")
    if not config.method.uses_goals:
        return
    settings = {"levels": parts.levels, "templates": parts.templates, "sentences": parts.sentences}
    used = [key for key, value in ({"names": parts.names} | settings).items() if value]
    if not known:
        if used:
            yield f"goal.parts.{used[0]}: the feedback of task={config.task.name} has one score. Leave it out."
        return
    yield from _unknown("goal.parts.names", parts.names or [], known)
    if len(set(parts.names or [])) < len(parts.names or []):
        yield f"goal.parts.names={listed(parts.names or [])}: a score is named twice."
    for key, value in settings.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"goal.parts.{key}={value}: expected a mapping from scores, for example {{{known[0]}: ...}}."
            return
        yield from _unknown(f"goal.parts.{key}", value or {}, known)
    yield from _each(config)
    if config.part_names:
        yield from _combinations(config)


def _each(config: Config) -> Iterator[str]:
    """Check the levels and the phrases of each score."""
    parts = config.goal.parts
    for name, levels in (parts.levels or {}).items():
        numbers = isinstance(levels, list) and levels and all(_is_number(value) for value in levels)
        if not numbers or not all(low < high for low, high in pairwise(levels)):
            yield (
                f"goal.parts.levels.{name}={levels}: must be one or more grades in ascending order, without "
                f"duplicates. Example: 'goal.parts.levels={{{name}: [2,4]}}'"
            )
    for name, template in (parts.templates or {}).items():
        if not isinstance(template, str):
            yield f"goal.parts.templates.{name}={template}: expected a text with {{level}}."
        if name in (parts.sentences or {}):
            yield f"goal.parts.sentences.{name} and goal.parts.templates.{name} both word it. Set only one of them."
    for name, sentences in (parts.sentences or {}).items():
        if not isinstance(sentences, list) or not sentences or not all(isinstance(text, str) for text in sentences):
            yield f"goal.parts.sentences.{name}={sentences}: expected a list of phrases, one per level and worst first."


def _combinations(config: Config) -> Iterator[str]:
    goal = config.goal
    template = goal.parts.template
    if template is not None and "{name" not in template and len(config.part_names) > 1:
        yield (
            f"goal.parts.template={template!r}: no placeholder tells which score is meant. Put {{name}} into it, or "
            "word the parts one by one with goal.parts.templates."
        )
    if goal.sentences is not None:
        yield "goal.sentences: the sentences of one score. Word several with goal.parts.templates, or leave it out."
    if goal.template is not None and template is None:
        yield (
            "goal.template: the text of one score. Set goal.parts.template, the phrase of each score with {name} and "
            "{level}, instead."
        )
    if goal.levels.by is LevelRule.raw:
        yield "goal.levels.by=raw: with several scores, each needs levels. Use goal.levels.by=auto."
    if goal.levels.per is LevelScope.prompt:
        yield "goal.levels.per=prompt: with several scores, levels are over all rows. Use goal.levels.per=dataset."
    if goal.pairing is Pairing.all:
        yield (
            "goal.pairing=all: with several scores, the combinations that a row reaches multiply, so they are sampled. "
            "Use goal.pairing=sample."
        )


def guidance_problems(config: Config) -> Iterator[str]:
    """Yield one message per problem with the weights of guidance: a number, or one for each of several scores."""
    path, given = "generation.guidance", config.generation.guidance
    weights = (
        {f"{path}.{name}": weight for name, weight in given.items()} if isinstance(given, Mapping) else {path: given}
    )
    for key, weight in weights.items():
        if _is_number(weight):
            yield from ranges.guidance(key, weight)
        else:
            yield f"{key}={weight}: must be a number from 0 to {ranges.MOST_GUIDANCE:g}. 0 is no guidance."
    if not isinstance(given, Mapping) or not config.method.uses_goals:
        return
    if not config.part_names:
        yield f"{path}={dict(given)}: the goal of this run has one score. Give a single weight."
    yield from _unknown(path, given, config.part_names)
    if len(config.generation.weights) > 1 and config.generation.backend is SamplingBackend.vllm:
        yield (
            f"{path}={dict(given)} with generation.backend=vllm: there, guidance contrasts with one goal. Use "
            "generation.backend=hf, or a weight for one score."
        )


def unnamed_target(path: str, target: Any, config: Config) -> str:
    """The message for a target that is a level of nobody knows which score."""
    names = config.part_names
    near = did_you_mean(str(target), WHOLE)
    return (
        f"{path}={target}: the goal of this run has several scores ({listed(names)}). Name the one that is meant, for "
        f"example {path}.{names[0]}={target}, or use {listed(WHOLE)}.{near}"
    )


def target_problems(path: str, target: Mapping[str, Any], config: Config) -> Iterator[str]:
    """Yield one message per problem with the targets of several parts."""
    known = config.part_names
    if not known:
        yield f"{path}={dict(target)}: the goal of this run has one score. Give best, worst or a level."
        return
    yield from _unknown(path, target, known)
    for name, value in target.items():
        if value is not None and value not in ENDS and not _is_number(value):
            near = did_you_mean(str(value), ENDS)
            yield f"{path}.{name}={value}: expected best, worst, a level, or null to leave it open.{near}"
    if not [value for value in target.values() if value is not None]:
        yield f"{path}: no part is asked for. Give at least one of {listed(known)} a target."


def _unknown(path: str, names: "Mapping[str, Any] | list[str]", known: list[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"{path}: there is no score {name!r}.{did_you_mean(str(name), known)} Scores: {listed(known)}."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
