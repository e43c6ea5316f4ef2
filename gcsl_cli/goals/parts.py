"""Parts: the scores of a row that has several, each with a scale, a direction and a share in their weighted mean.

Helpfulness 4 of 4 and verbosity 3 of 4, where lower is better, are the scores 4 and -3 and the weighted mean 0.625.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.errors import ConfigError, did_you_mean, listed
from gcsl_cli.goals.scale import Scale

MOST_PARTS = 8
"""Every further part multiplies the combinations, so that rows stop being examples of any of them."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Part:
    """One of several scores: how it is graded, and how its goals are worded unless the config says otherwise."""

    scale: Scale
    weight: float = 1.0
    """Share in the weighted mean, relative to the other parts."""
    levels: Sequence[float] = ()
    """Thresholds, in the grades that users see; if empty, the scores determine the levels."""
    sentences: Sequence[str] = ()
    """A phrase per level, worst first. If empty, `templates` apply."""
    templates: Mapping[str, str] = field(default_factory=dict)
    """A phrase per formulation, with the placeholders of `goal.template`."""

    def grades(self, scores: Floats) -> Floats:
        """Convert scores to grades."""
        return 0.0 - scores if self.scale.lower_is_better else scores

    def from_0_to_1(self, scores: Floats) -> Floats:
        """Scores on a scale from 0, the worst grade, to 1, the best one."""
        worst, best = sorted((self.scale.score(self.scale.low), self.scale.score(self.scale.high)))
        return (scores - worst) / (best - worst if best > worst else 1.0)


def check_names(key: str, names: Iterable[str]) -> None:
    """Check the names of scores that a task is configured to have.

    Raises:
        ConfigError: there is none or too many, one occurs twice, or cannot be written in an override.
    """
    found = list(names)
    if not found:
        raise ConfigError(f"{key}: no score is named. Name at least one, or leave the key out for a single score.")
    if len(found) > MOST_PARTS:
        raise ConfigError(
            f"{key}: {len(found)} scores; a goal has at most {MOST_PARTS} parts, because each multiplies the "
            "combinations, and too few rows are left for any of them. Choose the ones that you will ask for."
        )
    for name in found:
        if found.count(name) > 1:
            raise ConfigError(f"{key}: {name} is named twice. Each score needs a name and a column of its own.")
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{key}: {name!r} cannot be asked for on a command line. A name has up to 40 letters, digits, - and _, "
                "and starts with a letter."
            )


def known_name(key: str, name: str, names: Sequence[str]) -> str:
    """Return the name of a part.

    Raises:
        ConfigError: there is no such part.
    """
    if name not in names:
        raise ConfigError(f"{key}: there is no score {name!r}.{did_you_mean(name, names)} Scores: {listed(names)}.")
    return name


def weighted_mean(scores: Mapping[str, Floats], parts: Mapping[str, Part]) -> Floats:
    """The weighted mean of several scores, each on a scale from 0 (its worst grade) to 1 (its best), `(rows,)`.

    `scores` are `(rows,)` each, NaN where a score is not known: the mean is over the others.
    """
    values, weights = [], []
    for name, part in parts.items():
        values.append(part.from_0_to_1(scores[name]))
        weights.append(np.where(np.isnan(scores[name]), 0.0, part.weight))
    total = np.sum(weights, axis=0)
    summed = np.sum([np.nan_to_num(value) * weight for value, weight in zip(values, weights, strict=True)], axis=0)
    return np.divide(summed, total, out=np.full(len(summed), np.nan), where=total > 0)
