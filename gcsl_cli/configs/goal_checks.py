"""Check the `goal` group: ranges of values, and combinations that make no sense."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from gcsl_cli.configs import ranges
from gcsl_cli.configs.choices import Balance, Formulation, LevelRule, LevelScope, Pairing, PairingWeight, Wording
from gcsl_cli.configs.goal_schema import GoalConfig, LevelsConfig

MOST_TOKENS = 100


def goal_problems(goal: GoalConfig) -> Iterator[str]:
    """Yield one message per problem with the goal config, each with the fix."""
    yield from _levels(goal.levels)
    yield from _combinations(goal)
    yield from _sentences(goal)
    yield from _missed(goal)


def _levels(levels: LevelsConfig) -> Iterator[str]:
    auto = levels.by is LevelRule.auto
    if auto or levels.by is LevelRule.quantile:
        quantiles = levels.quantiles
        if not quantiles or not all(0 <= value <= 1 for value in quantiles) or not _ascending(quantiles):
            yield (
                f"goal.levels.quantiles={shown(quantiles)}: must be numbers from 0 to 1 in ascending order, "
                "without duplicates. Example: goal.levels.quantiles=[0,0.2,0.4,0.6,0.8]"
            )
    if (auto and levels.values) or levels.by is LevelRule.fixed:
        values = levels.values
        if not values or not all(math.isfinite(value) for value in values) or not _ascending(values):
            yield (
                f"goal.levels.values={shown(values)}: must be one or more finite numbers in ascending order, "
                "without duplicates. Example: goal.levels.values=[0.5,0.9], or goal.levels.by=quantile."
            )


def _combinations(goal: GoalConfig) -> Iterator[str]:
    levels, raw = goal.levels, goal.levels.by is LevelRule.raw
    exact, every = goal.formulation is Formulation.exact, goal.paired is Pairing.all
    if exact and every:
        yield (
            "goal.formulation=exact with goal.pairing=all: a row has only one exact goal, so there is nothing to pair. "
            "Use goal.pairing=sample, or goal.formulation=threshold."
        )
    if raw and goal.wording is not Wording.number:
        yield (
            f"goal.levels.by=raw with goal.wording={goal.wording}: every score is a separate goal, and only "
            "numbers can express them all. Use goal.wording=number, or levels (goal.levels.by=quantile)."
        )
    if raw and every:
        yield (
            "goal.levels.by=raw with goal.pairing=all: a row reaches every lower score, which makes far too many rows. "
            "Use goal.pairing=sample."
        )
    if raw and goal.balance is Balance.levels:
        yield "goal.levels.by=raw with goal.balance=levels: there are no levels to balance. Use goal.balance=none."
    if raw and goal.weights:
        yield (
            f"goal.levels.by=raw with goal.weights={shown(goal.weights)}: raw scores have no levels to weight. Set "
            "goal.weights=null and goal.missed.weight=0, as in goal=gcsl_bey."
        )
    if levels.per is LevelScope.prompt and levels.by is not LevelRule.quantile:
        yield (
            f"goal.levels.per=prompt with goal.levels.by={levels.by}: only quantiles can be computed per prompt. "
            "Use goal.levels.by=quantile."
        )
    if goal.pairing_weight is PairingWeight.rows and goal.paired is not Pairing.all:
        yield "goal.pairing_weight=rows: each row has one goal and counts once already. Use it with goal.pairing=all."
    if goal.pairing_weight is PairingWeight.rows and goal.balance is Balance.levels:
        yield (
            "goal.pairing_weight=rows with goal.balance=levels: balance already sets the share of each level. "
            "Use goal.balance=none."
        )
    if goal.tokens > 1 and goal.wording is not Wording.token:
        yield (
            f"goal.tokens={goal.tokens} with goal.wording={goal.wording}: there are no control tokens. Use "
            "goal.wording=token, or leave goal.tokens out."
        )
    if goal.sentences is not None and goal.wording is Wording.number:
        yield "goal.sentences with goal.wording=number: numbers have no sentences. goal.template can add text."
    if goal.sentences is not None and goal.template is not None:
        yield "goal.sentences and goal.template are two ways to word a level. Set only one of them."
    if not 0 <= goal.dropout < 1:
        yield f"goal.dropout={goal.dropout}: must be at least 0 and below 1. 0 gives every row a goal."
    if goal.weights is not None and not all(math.isfinite(w) and w >= 0 for w in goal.weights):
        yield f"goal.weights={shown(goal.weights)}: must be finite numbers of at least 0."
    if goal.weights is not None and not any(goal.weights):
        yield f"goal.weights={shown(goal.weights)}: at least one must be above 0. null weighs all levels the same."


def _sentences(goal: GoalConfig) -> Iterator[str]:
    if goal.tokens > MOST_TOKENS:
        yield f"goal.tokens={goal.tokens}: must be at most {MOST_TOKENS} per level. The default is one token per level."
    sentences = goal.sentences
    if sentences is None:
        return
    if not sentences:
        yield "goal.sentences=[]: give one sentence per level, worst first, or null for the task's own."
    if not all(sentence.strip() for sentence in sentences):
        yield f"goal.sentences={shown(sentences)}: a sentence is empty. Each level needs a sentence of its own."
    if len(set(sentences)) < len(sentences):
        yield (
            f"goal.sentences={shown(sentences)}: a sentence occurs twice, so its levels cannot be told apart. Each "
            "level needs a sentence of its own."
        )


def _missed(goal: GoalConfig) -> Iterator[str]:
    missed = goal.missed
    yield from ranges.not_negative("goal.missed.weight", missed.weight)
    yield from ranges.positive("goal.missed.margin", missed.margin)
    yield from ranges.not_negative("goal.missed.gap", missed.gap)
    if missed.weight and goal.levels.by is LevelRule.raw and not missed.gap:
        yield (
            f"goal.missed.weight={missed.weight} with goal.levels.by=raw: every score misses all higher ones, however "
            "close. Set the smallest difference that counts, for example goal.missed.gap=0.2, or goal.missed.weight=0."
        )


def shown(value: Any) -> str:
    """Format a value as in an override."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _ascending(values: Sequence[float]) -> bool:
    return all(low < high for low, high in pairwise(values))
