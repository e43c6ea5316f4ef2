"""Which combinations an evaluation asks for, so that the parts of a goal can be told apart."""

from itertools import product
from math import prod
from typing import Any

from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.joint import JointSpec

MOST_ASKED = 27
"""Combinations up to which all of them are asked for; of more, those that differ from the best in one part."""


def joint_goals(spec: JointSpec, levels: Any) -> list[float]:
    """The goals that `evaluation.levels` asks for, in ascending order.

    `all` is every combination of levels, or if there are too many, every level of each part with the best of the
    others. A list has `worst`, `best` and mappings as in `generation.target`; `worst` and `best` together are all
    combinations of the two, or if there are too many, those in which one part differs from the best or the worst.

    Raises:
        ConfigError: it is neither, or names a part or a level that does not exist.
    """
    if levels == "all":
        return _goals(spec, [list(range(count)) for count in spec.counts])
    if not isinstance(levels, list):
        raise ConfigError(f"evaluation.levels={levels}: not a list; write all or, for instance, [worst,best].")
    goals = {spec.goal(level) for level in levels}
    if "worst" in levels and "best" in levels:
        goals |= set(_goals(spec, [[0, count - 1] for count in spec.counts]))
    return sorted(goals)


def _goals(spec: JointSpec, choices: list[list[int]]) -> list[float]:
    best = [count - 1 for count in spec.counts]
    if prod(map(len, choices)) <= MOST_ASKED:
        found = {spec.number(levels) for levels in product(*choices)}
    else:
        found = {spec.best, spec.worst}
        for part, levels in enumerate(choices):
            found |= {spec.number([*best[:part], level, *best[part + 1 :]]) for level in levels}
    return sorted(found)
