"""Attainment of each part of a goal while the others are held, and how asking for one part moves the others.

Goals are combinations of levels, `(arms, parts)`, -1 for a part that is left open; scores are higher for better.
"""

from collections.abc import Sequence

import numpy as np

from gcsl_cli.data.arrays import Ints
from gcsl_cli.metrics.attainment import spearman
from gcsl_cli.metrics.bootstrap import Estimate, PerPrompt, paired_difference


def held_groups(goals: Ints, part: int) -> list[Ints]:
    """The arms that differ in one part only, in ascending order of its level, at least two in a group."""
    others = np.delete(goals, part, axis=1)
    groups: dict[tuple[int, ...], list[int]] = {}
    for arm in np.argsort(goals[:, part], kind="stable").tolist():
        if goals[arm, part] >= 0:
            groups.setdefault(tuple(others[arm].tolist()), []).append(arm)
    return [np.array(arms) for arms in groups.values() if len(arms) > 1]


def attained_ranks(goals: Ints, part: int, scores: Sequence[PerPrompt]) -> list[float]:
    """Spearman's correlation of the level asked for of one part and its mean score, of each group of `held_groups`."""
    means = np.array([score.numerator.sum() / score.denominator.sum() for score in scores])
    return [spearman(goals[arms, part].astype(np.float64), means[arms]) for arms in held_groups(goals, part)]


def moved(goals: Ints, part: int, scores: Sequence[PerPrompt], *, resamples: int, seed: int) -> Estimate | None:
    """How far a score moves if `part` is asked for at its highest instead of its lowest level, all else held.

    `scores` are those of one part, for each arm. The difference is the mean over the groups of `held_groups`, paired by
    prompt; `None` if no two arms differ in the part alone.
    """
    groups = held_groups(goals, part)
    if not groups:
        return None
    lowest, highest = (_summed([scores[arms[end]] for arms in groups]) for end in (0, -1))
    return paired_difference(highest, lowest, resamples=resamples, seed=seed)


def _summed(scores: Sequence[PerPrompt]) -> PerPrompt:
    return PerPrompt(
        np.sum([score.numerator for score in scores], axis=0), np.sum([score.denominator for score in scores], axis=0)
    )
