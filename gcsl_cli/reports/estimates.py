"""Measures and how their estimates are written; when a difference is called better or worse.

An estimate is {"value": 0.31, "low": 0.27, "high": 0.35, "n": 64, "left_out": 0}; None means undefined.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Result = Mapping[str, Any]
UNDEFINED = "n/a"
ARROWS = {"lower": "↓", "higher": "↑"}
ARROWS_EXPLAINED = "↓ lower is better, ↑ higher is better"


@dataclass(frozen=True, slots=True)
class Column:
    """One measure of the results, which is a column of the results table."""

    name: str
    label: str
    better: str = ""
    """`lower`, `higher`, or empty if neither."""
    digits: int = 3
    independent: bool = False
    """Not measured by the scorer that graded the training data."""
    detail: bool = False
    """Written to result files, but left out of the tables that compare methods."""

    @property
    def heading(self) -> str:
        """The label with an arrow that points to better values."""
        return f"{self.label} {ARROWS[self.better]}" if self.better else self.label


def measures(result: Result) -> list[Column]:
    """The measures in order, the main one first."""
    return [Column(**column) for column in result["columns"]]


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number with fixed digits, or "n/a" if it is undefined."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    rounded = round(value, digits) + 0.0  # -0.0 + 0.0 is 0.0: no "-0.000"
    return f"{rounded:+.{digits}f}" if sign else f"{rounded:.{digits}f}"


def with_interval(estimate: Mapping[str, Any] | None, digits: int = 3, *, sign: bool = False) -> str:
    """Format as "0.310 [0.270, 0.350]", without brackets if there is no interval."""
    if estimate is None:
        return UNDEFINED
    value = number(estimate["value"], digits, sign=sign)
    if estimate["low"] is None or estimate["high"] is None:
        return value
    low, high = (number(estimate[end], digits, sign=sign) for end in ("low", "high"))
    return f"{value} [{low}, {high}]"


def with_half_width(estimate: Mapping[str, Any] | None, digits: int = 3) -> str:
    """Format as "0.310 ±0.040", where the second number is half the width of the interval."""
    if estimate is None:
        return UNDEFINED
    value = number(estimate["value"], digits)
    if estimate["low"] is None or estimate["high"] is None:
        return value
    return f"{value} ±{number((estimate['high'] - estimate['low']) / 2, digits)}"


def verdict(difference: Mapping[str, Any] | None, better: str | None) -> str:
    """Return "better" or "worse" if the interval of a difference excludes 0, otherwise "".

    For a measure without a good direction (`better` is neither "lower" nor "higher") it is "differs".
    """
    if difference is None or difference["low"] is None or difference["high"] is None:
        return ""
    if difference["low"] <= 0 <= difference["high"]:
        return ""
    if better not in ("lower", "higher"):
        return "differs"
    return "better" if (difference["high"] < 0) == (better == "lower") else "worse"
