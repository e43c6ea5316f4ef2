"""Check the `rounds` group: ranges of values, and combinations that make no sense."""

import math
from collections.abc import Iterator

from gcsl_cli.configs import ranges
from gcsl_cli.configs.choices import DEFAULT_MIX, LevelRule, LevelScope, RoundStart, Wording
from gcsl_cli.configs.goal_checks import shown
from gcsl_cli.configs.schema import Config
from gcsl_cli.errors import did_you_mean, listed

EXAMPLE = 'Example: "rounds.mix={best: 0.75, lower: 0.25}"'


def round_problems(config: Config) -> Iterator[str]:
    """Yield one message per problem with the rounds, each with the fix."""
    rounds = config.rounds
    yield from ranges.count("rounds.count", rounds.count)
    yield from ranges.not_negative("rounds.stop.gain", rounds.stop.gain)
    yield from ranges.positive("rounds.stop.divergence", rounds.stop.divergence)
    whole = isinstance(rounds.keep, int) and not isinstance(rounds.keep, bool) and rounds.keep >= 1
    if rounds.keep not in ("all", "last") and not whole:
        yield f"rounds.keep={rounds.keep}: expected all, last, or the number of newest rounds to keep."
    yield from _mix(config)
    if config.in_rounds and rounds.start is RoundStart.last:
        yield from _start(config)
    if config.in_rounds and rounds.extend:
        yield from _extend(config)


def _mix(config: Config) -> Iterator[str]:
    rounds = config.rounds
    if not isinstance(rounds.mix, dict | None) or rounds.mix == {}:
        yield f"rounds.mix={rounds.mix}: expected shares by name, or null for {DEFAULT_MIX}. {EXAMPLE}"
        return
    if rounds.mix is not None and not config.method.uses_goals:
        yield (
            f"rounds.mix={rounds.mix} with method={config.method.name}, which trains without goals: later rounds just "
            "sample the trained model. Leave it out."
        )
    for name, share in rounds.shares.items():
        if name not in DEFAULT_MIX:
            yield f"rounds.mix: {name}: unknown.{did_you_mean(name, list(DEFAULT_MIX))} Allowed: {listed(DEFAULT_MIX)}."
        elif isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            yield f"rounds.mix: {name}: {share}: a share must be a number from 0 to 1. {EXAMPLE}"
    total = sum(rounds.shares.values())
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        yield f"rounds.mix={rounds.mix}: the shares sum to {total:g}, but must sum to 1. {EXAMPLE}"
    if rounds.shares.get("guided") and not 0 < rounds.guidance <= ranges.MOST_GUIDANCE:
        yield (
            f"rounds.guidance={rounds.guidance}: must be above 0 and at most {ranges.MOST_GUIDANCE} for the share "
            "`guided` of rounds.mix. 2 is the default."
        )


def _start(config: Config) -> Iterator[str]:
    if not config.export.merged:
        yield (
            "rounds.start=last with export.merged=false: an adapter trained on top of another one fits no model that "
            "is saved. Use export.merged=true, or rounds.start=base."
        )
    if config.method.uses_goals and config.goal.wording is Wording.token:
        yield (
            "rounds.start=last with goal.wording=token: the control tokens of the round before stand for its levels, "
            "which a new round changes. Use rounds.start=base, or goal.wording=language."
        )


def _extend(config: Config) -> Iterator[str]:
    goal, levels = config.goal, config.goal.levels
    fixed = levels.by is LevelRule.fixed or (levels.by is LevelRule.auto and levels.values)
    if not config.method.uses_goals or not fixed or levels.per is not LevelScope.dataset:
        yield (
            "rounds.extend=true without fixed levels: levels from quantiles or distinct scores follow the feedback by "
            "themselves. Leave it out, or set goal.levels.values."
        )
        return
    most = len(levels.values) + config.rounds.count  # the training minimum, and one more after each round
    given = goal.sentences or (config.task.sentences if goal.wording is not Wording.number else [])
    if given and goal.template is None and len(given) < most:
        name = "goal.sentences" if goal.sentences else "task.sentences"
        yield (
            f"rounds.extend=true: {config.rounds.count} rounds may end with {most} levels, but there are {len(given)} "
            f"sentences ({name}={shown(given)}). Give {most}, worst first."
        )
