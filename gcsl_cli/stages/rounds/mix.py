"""The mix of goals that a later round samples under: which arms, and how many samples of each prompt from each.

{best: 0.5, guided: 0.25, lower: 0.25} with 4 samples    best, best, best with guidance, a lower level
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gcsl_cli.data.arrays import Ints
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.stages.evaluation.arms import Arm, Contrast, trained_arm

NO_GOAL = Arm("trained", "trained", True, None)
"""The trained model of a method without goals."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the completions that a round samples: the arm they come from, and their share."""

    arm: Arm
    share: float


def mix_parts(spec: GoalSpec, shares: Mapping[str, float], guidance: float) -> list[Part]:
    """The arms of a mix: the best goal, the best goal with guidance, and every lower level in equal parts.

    Without goals, all of it is the trained model.
    """
    if not spec.has_goal:
        return [Part(NO_GOAL, 1.0)]
    lower = spec.levels[-2::-1] if spec.levels else (spec.worst,)
    parts = [
        Part(trained_arm(spec, spec.best), shares.get("best", 0.0)),
        Part(trained_arm(spec, spec.best, (Contrast(spec.worst, guidance),)), shares.get("guided", 0.0)),
        *(Part(trained_arm(spec, goal), shares.get("lower", 0.0) / len(lower)) for goal in lower),
    ]
    return [part for part in parts if part.share]


def allocation(prompts: int, samples: int, shares: Sequence[float], seed: int) -> Ints:
    """How many samples of each prompt come from each part, `(prompts, parts)`; rows sum to `samples`.

    Systematic sampling: a prompt has the share of a part rounded up or down, and over all prompts the shares are exact
    to within a sample.
    """
    offsets = (np.random.default_rng(seed).permutation(prompts) + 0.5) / prompts
    places = (np.arange(samples) + offsets[:, None]) / samples
    bounds = np.cumsum(shares)[:-1] / sum(shares)
    parts = np.searchsorted(bounds, places, side="right")
    return np.stack([(parts == part).sum(axis=1) for part in range(len(shares))], axis=1)
