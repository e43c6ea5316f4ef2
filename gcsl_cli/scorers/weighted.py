"""A weighted mean of other scorers, each brought to a scale from 0 to 1 first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gcsl_cli.configs.target_classes import dataclass_of, typed
from gcsl_cli.data.arrays import Floats
from gcsl_cli.errors import ConfigError, did_you_mean, first_line, listed
from gcsl_cli.goals.parts import Part
from gcsl_cli.goals.scale import Scale
from gcsl_cli.scorers.base import Example, Scorer

BASE = "gcsl_cli.scorers.base.Scorer"


@dataclass
class WeightedScorer(Scorer):
    """The mean of `parts`, by `weights`, after each was mapped to 0 to 1 by its `ranges`."""

    name: str = "weighted"
    parts: dict[str, Any] = field(default_factory=dict)
    """Configs of scorers by a name of one's choice."""
    weights: dict[str, float] = field(default_factory=dict)
    ranges: dict[str, Any] = field(default_factory=dict)
    """Grades that become 0 and 1; or more of them, evenly spaced quantiles, between which grades are interpolated."""

    def grade(self, examples: Sequence[Example]) -> Floats:
        """From 0 to 1, the best; NaN if a part has no grade. A negative weight turns what is better."""
        return self.mean(self.grades(examples), complete=True)

    def grades(self, examples: Sequence[Example]) -> dict[str, Floats]:
        """The grades by each part, `(examples,)` each; NaN for none."""
        found = {name: scorer(examples) for name, scorer in self._scorers.items()}
        for name, grades in found.items():
            if missing := int(np.isnan(grades).sum()):
                self.ungraded[f"{name} has no grade"] += missing
        return found

    def mean(self, grades: Mapping[str, Floats], *, complete: bool) -> Floats:
        """The weighted mean of the grades by each part, from 0 to 1: of all, else NaN, or of those that are known."""
        known = {name: ~np.isnan(values) for name, values in grades.items()}
        total, weights = (np.zeros(len(next(iter(known.values())))) for _ in range(2))
        enough = np.all(list(known.values()), axis=0) if complete else np.any(list(known.values()), axis=0)
        for name, values in grades.items():
            quantiles, weight = self._range(name), abs(self._weight(name))
            shares = np.interp(values, quantiles, np.linspace(0.0, 1.0, len(quantiles)))
            total += np.where(known[name], weight * (1.0 - shares if self._turned(name) else shares), 0.0)
            weights += np.where(known[name], weight, 0.0)
        return np.divide(total, weights, out=np.full(len(total), np.nan), where=enough)

    def scores(self, grades: Mapping[str, Floats], names: Iterable[str]) -> dict[str, Floats]:
        """The scores by the named parts, where higher ones are better."""
        return {name: 0.0 - grades[name] if self._turned(name) else grades[name] for name in names}

    def goal_parts(self, names: Iterable[str]) -> dict[str, Part]:
        """The named parts as parts of a goal: their ranges, directions and weights."""
        ends = {name: self._range(name) for name in names}
        return {
            name: Part(
                Scale(name.replace("_", " "), float(end[0]), float(end[-1]), self._turned(name)),
                abs(self._weight(name)),
            )
            for name, end in ends.items()
        }

    def keys(self) -> dict[str, Any]:
        """The keys of each part, without settings that change no grade."""
        return super().keys() | {"parts": {name: scorer.keys() for name, scorer in self._scorers.items()}}

    def check(self) -> None:
        """Raise `ConfigError` for a part, a weight or a range that cannot be used."""
        for name, weight in self.weights.items():
            self._known("weights", name)
            if not weight or not np.isfinite(weight):
                raise ConfigError(f"scorer.weights.{name}={weight}: must be a number other than 0.")
        for name in self.ranges:
            self._known("ranges", name)
        for name, scorer in self._scorers.items():
            scorer.check()
            self._range(name)

    def limits(self) -> tuple[float, float]:
        """A mean of shares."""
        return 0.0, 1.0

    @property
    def needs_reference(self) -> bool:  # type: ignore[override]
        """If a part does."""
        return any(scorer.needs_reference for scorer in self._scorers.values())

    @cached_property
    def _scorers(self) -> dict[str, Scorer]:
        if not self.parts:
            raise ConfigError(
                "scorer=weighted combines other scorers: give scorer.parts, or better a YAML file of your own with "
                "--config-dir (docs/scorers.md has one)."
            )
        return {name: _built(f"scorer.parts.{name}", part) for name, part in self.parts.items()}

    def _weight(self, name: str) -> float:
        return self.weights.get(name, 1.0)

    def _turned(self, name: str) -> bool:
        """Whether lower grades by this part are better."""
        return (self._weight(name) < 0) != self._scorers[name].lower_is_better

    def _range(self, name: str) -> list[float]:
        given = self.ranges.get(name) or self._scorers[name].limits()
        if given is None:
            raise ConfigError(
                f"scorer.ranges.{name}: missing. {self._scorers[name].name} has no lowest and highest grade, so say "
                f"which grades are to become 0 and 1, for example +scorer.ranges.{name}=[0,10]."
            )
        numbers = list(given) if isinstance(given, list | tuple) else []
        plain = all(isinstance(number, int | float) and np.isfinite(number) for number in numbers)
        if not plain or len(numbers) < 2 or (np.diff(numbers) <= 0).any():
            raise ConfigError(f"scorer.ranges.{name}={given}: expected two or more numbers in ascending order.")
        return numbers

    def _known(self, key: str, name: str) -> None:
        if name not in self.parts:
            near = did_you_mean(name, self.parts)
            raise ConfigError(f"scorer.{key}.{name}: no such part.{near} scorer.parts has {listed(self.parts)}.")


def _built(path: str, part: Any) -> Scorer:
    if isinstance(part, Scorer):
        return part
    target = part.get("_target_") if isinstance(part, dict) else None
    if target is None:
        raise ConfigError(f"{path}: expected the config of a scorer, with its _target_.")
    dataclass_of(f"{path}._target_", str(target), BASE)
    try:
        scorer: Scorer = OmegaConf.to_object(typed(OmegaConf.create(part)))  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {first_line(error)}.") from error
    return scorer
