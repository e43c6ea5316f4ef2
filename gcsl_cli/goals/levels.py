"""Levels: the ordered thresholds that a goal can name.

Scores 0.1, 0.4, 0.4, 0.9 with quantiles 0, 0.5 give the levels 0.1, 0.4: four rows reach the first, three the second
(half of the four is promised; the tie adds one).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.relabel import highest_reached, highest_within_prompt

if TYPE_CHECKING:
    from gcsl_cli.goals.spec import GoalSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FEW = 8
"""Up to so many distinct scores are levels by themselves under goal.levels.by=auto."""


@dataclass(frozen=True, eq=False)
class Levels:
    """What can be asked for, ascending, and how rows are measured against it."""

    rule: str
    """`quantile`, `fixed`, `distinct`, `raw`, or `none` where nothing is asked for."""
    per: str
    """`dataset`: `values` are scores; `prompt`: they are quantiles of the scores of each prompt."""
    values: Floats

    def highest(self, scores: Floats, prompts: Ints) -> Ints:
        """Index of the highest level that each row reaches, `(rows,)`; `prompts` numbers the rows' prompts."""
        if self.rule == "none":
            return np.zeros(len(scores), dtype=np.int64)
        if self.per == "prompt":
            return highest_within_prompt(scores, prompts, self.values)
        return highest_reached(scores, self.values)

    def held_out(self, scores: Floats, prompts: Ints) -> Floats:
        """The goal that each held-out row is held to, `(rows,)`: the highest that it reaches.

        A held-out score may lie below the training minimum; the lowest level is what it is held to then. A raw goal is
        the score itself.
        """
        if self.rule == "raw":
            return scores
        if self.rule == "none":
            return np.full(len(scores), np.nan)
        floored = scores if self.per == "prompt" else np.maximum(scores, self.values[0])
        return self.values[self.highest(floored, prompts)]


def levels_of(spec: "GoalSpec") -> Levels:
    """The levels of a saved goal spec; a raw goal has none."""
    return Levels(spec.level_rule, spec.per, np.array(spec.levels))


def check_scores(scores: Floats) -> None:
    """Refuse scores from which nothing can be learned.

    Raises:
        DataError: there is none, one is not a finite number, or all are equal.
    """
    if not len(scores):
        raise DataError("There is no graded row to take levels from.")
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise DataError(f"The score of row {row + 1} is {scores[row]}; a score has to be a finite number.")
    if scores.min() == scores.max():
        raise DataError(
            f"All {len(scores)} scores are {scores[0]:g}: no completion is better than another, so there is no goal to "
            "learn. Use feedback whose grades differ."
        )


def quantile_levels(scores: Floats, quantiles: Sequence[float]) -> Floats:
    """Levels at `quantiles` of `scores`, each an observed score, the training minimum always among them.

    A level at quantile q is reached by at least a share 1 - q of the rows (more only by ties), because it is the
    largest observed score that leaves at most q of them below. (numpy's `lower` method takes the score at
    q * (rows - 1) and so lets one row more reach it.) Equal levels are merged.
    """
    check_scores(scores)
    ascending = np.sort(scores)
    # Rounded, or 0.29 * 100 would fall to 28.
    below = np.floor(np.round(np.array([0.0, *quantiles]) * len(scores), 9)).astype(np.int64)
    return np.unique(ascending[np.minimum(below, len(scores) - 1)])


def fixed_levels(scores: Floats, values: Sequence[float], *, beyond: bool = False) -> Floats:
    """The given values as levels, and the training minimum below them, so that every row reaches one.

    `beyond` allows levels above every training score, which can be asked for though no row has taught them.

    Raises:
        ConfigError: a level is above every training score: no row reaches it.
    """
    check_scores(scores)
    highest = float(scores.max())
    unreached = [] if beyond else [value for value in values if value > highest]
    if unreached:
        raise ConfigError(
            f"goal.levels.values: no row reaches the level {unreached[0]:g}; the training scores go from "
            f"{scores.min():g} to {highest:g}. Give levels within that range."
        )
    lowest = float(scores.min())
    inside = [value for value in values if value > lowest]
    return np.array([lowest, *inside], dtype=np.float64)


def distinct_levels(scores: Floats, limit: int = 64) -> Floats:
    """Every distinct score as a level.

    Raises:
        DataError: there are more than `limit`.
    """
    check_scores(scores)
    levels = np.unique(scores)
    if len(levels) > limit:
        raise DataError(
            f"goal.levels.by=distinct: there are {len(levels)} distinct scores; at most {limit} make levels. "
            "Use goal.levels.by=quantile or goal.levels.by=fixed."
        )
    return levels


def prompt_quantiles(scores: Floats, prompts: Ints, quantiles: Sequence[float]) -> Floats:
    """The quantiles themselves as levels, 0 always among them: what they are in scores differs from prompt to prompt.

    Raises:
        ConfigError: no prompt has two different scores, so nothing can be told from within a prompt.
    """
    check_scores(scores)
    values = np.unique(np.array([0.0, *quantiles]))
    if not highest_within_prompt(scores, prompts, np.array([0.0, 1e-9])).any():
        raise ConfigError(
            "goal.levels.per=prompt: no prompt has completions of different scores, so none beats another of its "
            "prompt. Use goal.levels.per=dataset, or give several graded completions a prompt."
        )
    return values


def make_levels(
    scores: Floats,
    prompts: Ints,
    *,
    by: str,
    per: str,
    quantiles: Sequence[float],
    values: Sequence[float],
    beyond: bool = False,
) -> Levels:
    """Levels by the rule `by`: `quantile`, `fixed`, `distinct`, `raw`, or `auto`.

    `auto` takes fixed `values` where there are any, the distinct scores where they are few, else quantiles. `beyond`
    allows fixed values above every training score.

    Raises:
        ConfigError: `by` is unknown, or fewer than two levels are left: then there is nothing to ask for.
        DataError: the scores teach nothing.
    """
    rule = _rule(scores, by, values)
    if per == "prompt":
        return Levels(rule, per, prompt_quantiles(scores, prompts, quantiles))
    if rule == "quantile":
        levels = quantile_levels(scores, quantiles)
    elif rule == "fixed":
        levels = fixed_levels(scores, values, beyond=beyond)
    elif rule == "distinct":
        levels = distinct_levels(scores)
    elif rule == "raw":
        check_scores(scores)
        levels = np.unique(scores)
    else:
        raise ConfigError(f"goal.levels.by={by}: unknown; one of auto, quantile, fixed, distinct, raw.")
    if len(levels) < 2:
        raise ConfigError(
            f"goal.levels.by={rule} leaves one level, {levels[0]:g}: every row reaches it, so the goal says nothing. "
            "Give levels between the lowest and the highest score "
            f"({scores.min():g} and {scores.max():g}), or use goal.levels.by=distinct."
        )
    return Levels(rule, per, levels)


def _rule(scores: Floats, by: str, values: Sequence[float]) -> str:
    if by != "auto":
        return by
    if values:
        return "fixed"
    return "distinct" if len(np.unique(scores)) <= FEW else "quantile"
