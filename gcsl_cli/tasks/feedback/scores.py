"""Several scores per row: `task.columns.scores`, a list of columns, or a mapping from names to columns and scales.

scores: [helpfulness, verbosity]
scores: {helpfulness: ratings.helpful, verbosity: {column: ratings.verbose, direction: lower, scale: [0, 4]}}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from gcsl_cli.errors import ConfigError, did_you_mean, listed
from gcsl_cli.goals.parts import Part, check_names
from gcsl_cli.goals.scale import Scale

KEY = "task.columns.scores"
SETTINGS = ("column", "direction", "scale", "weight")
DIRECTIONS = ("higher", "lower")


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """Where a score stands, and how it is read."""

    column: str
    lower_is_better: bool = False
    scale: tuple[float, float] | None = None
    """Lowest and highest valid grade; `None`: the range of the grades."""
    weight: float = 1.0
    """Share in the weighted mean."""

    @property
    def sign(self) -> float:
        """What turns its grades into scores, of which higher ones are better."""
        return -1.0 if self.lower_is_better else 1.0

    def part(self, name: str, low: float, high: float) -> Part:
        """The part of goals; `low` and `high` are the range of the grades."""
        ends = self.scale or (low, high)
        return Part(Scale(name.replace("_", " "), *ends, self.lower_is_better), self.weight)


def parse_scores(configured: Any, direction: str) -> dict[str, ScoreColumn]:
    """The columns of several scores by name; `direction` is that of scores without their own. None if there is one.

    Raises:
        ConfigError: it is neither a list nor a mapping, a name or a column occurs twice, or a setting cannot be used.
    """
    if configured is None:
        return {}
    if isinstance(configured, Mapping):
        pairs = [(str(name), value) for name, value in configured.items()]
    elif isinstance(configured, Sequence) and not isinstance(configured, str):
        pairs = [(str(column).replace("[]", "").rpartition(".")[2], column) for column in configured]
    else:
        raise ConfigError(
            f"{KEY}={configured}: expected a list of columns, as in '{KEY}=[helpfulness,verbosity]'. One column of "
            "grades is task.columns.score."
        )
    check_names(KEY, [name for name, _ in pairs])
    found = {name: _score_column(name, value, direction) for name, value in pairs}
    columns = [score.column for score in found.values()]
    for name, score in found.items():
        if columns.count(score.column) > 1:
            both = listed(other for other, one in found.items() if one.column == score.column)
            raise ConfigError(f"{KEY}: {both} are one column, {score.column}. Name each column of grades once.")
        if not score.column:
            raise ConfigError(f"{KEY}.{name}: the column has no name.")
    return found


def _score_column(name: str, value: Any, direction: str) -> ScoreColumn:
    key = f"{KEY}.{name}"
    if isinstance(value, str):
        value = {"column": value}
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key}={value}: expected a column, or a mapping with {listed(SETTINGS)}.")
    for setting in value:
        if setting not in SETTINGS:
            near = did_you_mean(str(setting), SETTINGS)
            raise ConfigError(f"{key}.{setting}: no such setting of a score.{near} Settings: {listed(SETTINGS)}.")
    direction = value.get("direction", direction)
    if direction not in DIRECTIONS:
        raise ConfigError(f"{key}.direction={direction}: unknown. Allowed: {listed(DIRECTIONS)}.")
    weight = value.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not (isfinite(weight) and weight > 0):
        raise ConfigError(f"{key}.weight={weight}: must be a finite number above 0.")
    column = str(value.get("column", name)).replace("[]", "")
    return ScoreColumn(column, direction == "lower", _scale(key, value.get("scale")), float(weight))


def _scale(key: str, scale: Any) -> tuple[float, float] | None:
    if scale is None:
        return None
    numbers = isinstance(scale, Sequence) and all(isinstance(end, int | float) and isfinite(end) for end in scale)
    if not numbers or len(scale) != 2 or scale[0] >= scale[1]:
        raise ConfigError(f"{key}.scale={scale}: expected the lowest and highest grade, for example [0,4].")
    return float(scale[0]), float(scale[1])
