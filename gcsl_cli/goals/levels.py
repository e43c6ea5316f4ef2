"""Levels: the ordered thresholds that a goal can name.

Scores 0.1, 0.4, 0.4, 0.9 with quantiles 0, 0.5 give the levels 0.1, 0.4: four rows reach the first, three the second
(at least half of the four by definition, plus one because of the tie).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gcsl_cli.data.arrays import Bools, Floats, Ints
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.relabel import highest_reached, highest_within_prompt, unbeaten_within_prompt

if TYPE_CHECKING:
    from gcsl_cli.data.records import FeedbackRows
    from gcsl_cli.goals.spec import GoalSpec

AUTO_DISTINCT = 8
"""Under `goal.levels.by=auto`, up to this many distinct scores each become a level."""
AUTO_GRADES = 21
"""Under `goal.levels.by=auto`, up to this many distinct scores are grades, as half stars are, of which the best becomes
a level beside the quantiles. Of measured scores, one row would have the highest."""


@dataclass(frozen=True, eq=False)
class Levels:
    """The levels that can be requested, in ascending order, and the rule that assigns rows to them."""

    rule: str
    """`quantile`, `fixed`, `distinct`, `raw`, or `none` for training without goals."""
    per: str
    """`dataset`: `values` are scores; `prompt`: they are quantiles among the scores of each prompt."""
    values: Floats

    def highest(self, scores: Floats, prompts: Ints) -> Ints:
        """Index of the highest level that each row reaches, `(rows,)`; `prompts` is the prompt index of each row."""
        if self.rule == "none":
            return np.zeros(len(scores), dtype=np.int64)
        if self.per == "prompt":
            return highest_within_prompt(scores, prompts, self.values)
        return highest_reached(scores, self.values)

    def reached_by(self, rows: "FeedbackRows") -> Ints:
        """Index of the highest level that each row reaches, `(rows,)`."""
        return self.highest(rows.scores, rows.prompts)

    def goals_of(self, rows: "FeedbackRows") -> Floats:
        """Goal of each held-out row, `(rows,)`: the highest level that it reaches.

        A held-out score below the training minimum gets the lowest level. Under the raw rule the goal is the score
        itself.
        """
        if self.rule == "raw":
            return rows.scores
        if self.rule == "none":
            return np.full(len(rows), np.nan)
        floored = rows.scores if self.per == "prompt" else np.maximum(rows.scores, self.values[0])
        return self.values[self.highest(floored, rows.prompts)]

    def unbeaten(self, rows: "FeedbackRows") -> Bools:
        """Rows that miss no level, whatever they reach, `(rows,)`: per prompt, those that no other row beats."""
        if self.per == "prompt":
            return unbeaten_within_prompt(rows.scores, rows.prompts)
        return np.zeros(len(rows), dtype=np.bool_)


def levels_of(spec: "GoalSpec") -> Levels:
    """Return the levels of a saved goal spec; there are none under the raw rule."""
    return Levels(spec.level_rule, spec.per, np.array(spec.levels))


def check_scores(scores: Floats) -> None:
    """Reject scores that contain nothing to learn.

    Raises:
        DataError: there are no scores, one is not finite, or all are equal.
    """
    if not len(scores):
        raise DataError("There are no graded rows to derive levels from.")
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise DataError(f"The score of row {row + 1} is {scores[row]}; scores must be finite numbers.")
    if scores.min() == scores.max():
        raise DataError(
            f"All {len(scores)} scores are {scores[0]:g}: no completion is better than another, so there is no goal to "
            "learn. Use feedback with different grades."
        )


def quantile_levels(scores: Floats, quantiles: Sequence[float]) -> Floats:
    """Levels at `quantiles` of `scores`: observed scores, always including the training minimum.

    The level at quantile q is the largest observed score with at most a share q of the rows below it, so at least a
    share 1 - q of the rows reaches it, and more only through ties. (numpy's `lower` method takes the score at
    q * (rows - 1), which one more row reaches.) Equal levels are merged.
    """
    check_scores(scores)
    ascending = np.sort(scores)
    # Without rounding, 0.29 * 100 would become 28.
    below = np.floor(np.round(np.array([0.0, *quantiles]) * len(scores), 9)).astype(np.int64)
    return np.unique(ascending[np.minimum(below, len(scores) - 1)])


def fixed_levels(scores: Floats, values: Sequence[float], *, beyond: bool = False) -> Floats:
    """Use `values` as levels, with the training minimum below them so that every row reaches a level.

    `beyond` allows levels above every training score; they can be requested although no row was trained on them.

    Raises:
        ConfigError: a level is above every training score, so no row reaches it.
    """
    check_scores(scores)
    highest = float(scores.max())
    unreached = [] if beyond else [value for value in values if value > highest]
    if unreached:
        raise ConfigError(
            f"goal.levels.values: no row reaches the level {unreached[0]:g}; the training scores range from "
            f"{scores.min():g} to {highest:g}. Choose levels within that range."
        )
    lowest = float(scores.min())
    inside = [value for value in values if value > lowest]
    return np.array([lowest, *inside], dtype=np.float64)


def better_level(best: float, newest: Floats) -> float | None:
    """A level above `best` for later training, if more than half of the newest scores reach `best`.

    It is the median of those that do, so that half of them reach it; `None` if there is no higher one.
    """
    reaching = np.sort(newest[newest >= best])
    if len(reaching) <= len(newest) / 2:
        return None
    level = float(reaching[len(reaching) // 2])
    return level if level > best else None


def distinct_levels(scores: Floats, limit: int = 64) -> Floats:
    """Use every distinct score as a level.

    Raises:
        DataError: there are more than `limit` distinct scores.
    """
    check_scores(scores)
    levels = np.unique(scores)
    if len(levels) > limit:
        raise DataError(
            f"goal.levels.by=distinct: there are {len(levels)} distinct scores; at most {limit} are allowed. "
            "Use goal.levels.by=quantile or goal.levels.by=fixed."
        )
    return levels


def prompt_quantiles(scores: Floats, prompts: Ints, quantiles: Sequence[float]) -> Floats:
    """Use the quantiles themselves as levels, always including 0; the scores behind them differ between prompts.

    Raises:
        ConfigError: no prompt has two different scores, so rows cannot be ranked within any prompt, or only the
            quantile 0 is left.
    """
    check_scores(scores)
    values = np.unique(np.array([0.0, *quantiles]))
    if not highest_within_prompt(scores, prompts, np.array([0.0, 1e-9])).any():
        raise ConfigError(
            "goal.levels.per=prompt: no prompt has completions with different scores, so they cannot be ranked within "
            "a prompt. Use goal.levels.per=dataset, or provide several graded completions per prompt."
        )
    if len(values) < 2:
        raise ConfigError(
            "goal.levels.quantiles leaves one level, 0: every row reaches it, so the goal carries no information. Add "
            "quantiles between 0 and 1, such as 0.5 and 1."
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
    best_grade: bool = True,
) -> Levels:
    """Derive levels by the rule `by`: `quantile`, `fixed`, `distinct`, `raw`, or `auto`.

    `auto` uses the fixed `values` if there are any, the distinct scores if there are at most `AUTO_DISTINCT`, and
    quantiles otherwise; with `best_grade`, the best of at most `AUTO_GRADES` grades is a level too. `beyond` allows
    fixed values above every training score.

    Raises:
        ConfigError: `by` is unknown, or only one level remains.
        DataError: the scores contain nothing to learn.
    """
    rule = _rule(scores, by, values)
    if per == "prompt":
        return Levels(rule, per, prompt_quantiles(scores, prompts, quantiles))
    if rule == "quantile":
        graded = best_grade and by == "auto" and len(np.unique(scores)) <= AUTO_GRADES
        levels = quantile_levels(scores, [*quantiles, 1.0] if graded else quantiles)
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
            f"goal.levels.by={rule} leaves one level, {levels[0]:g}: every row reaches it, so the goal carries no "
            f"information. Choose levels between the lowest and the highest score ({scores.min():g} and "
            f"{scores.max():g}), or use goal.levels.by=distinct."
        )
    return Levels(rule, per, levels)


def _rule(scores: Floats, by: str, values: Sequence[float]) -> str:
    if by != "auto":
        return by
    if values:
        return "fixed"
    return "distinct" if len(np.unique(scores)) <= AUTO_DISTINCT else "quantile"
