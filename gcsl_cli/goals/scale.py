"""The scale that people grade on, and how its numbers are written.

A score is higher for better. Where people's grade is lower for better (toxicity, seconds), score = -grade; people see,
configure and ask for grades.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Scale:
    """What the grade is called, its ends, and which end is the better one."""

    name: str
    low: float
    high: float
    lower_is_better: bool = False
    closed: bool = False
    """Nothing lies beyond its ends."""

    def grade(self, score: float) -> float:
        """What people call this score."""
        return 0.0 - score if self.lower_is_better else float(score)

    def score(self, grade: float) -> float:
        """The score of a grade: higher for better."""
        return 0.0 - grade if self.lower_is_better else float(grade)

    def rounded(self, grade: float) -> float:
        """Round a grade to about a thousandth of the scale, which is all that a reader needs."""
        span = abs(self.high - self.low)
        return round(grade, max(0, 3 - math.floor(math.log10(span)))) if span else grade


def names(values: Sequence[float]) -> tuple[str, ...]:
    """A short text for each number, different for different ones: three significant digits or as many as it takes."""
    distinct = len(set(values))
    for digits in range(3, 18):
        written = tuple(_written(value, digits) for value in values)
        if len(set(written)) == distinct:
            return written
    return tuple(repr(value) for value in values)


def name(value: float) -> str:
    """A short text for one number."""
    return names([value])[0]


def _written(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    # Rounded first: 0.1 + 0.2 is 0.3 to people. The whole part is never rounded away.
    digits = max(digits, len(str(int(abs(value)))))
    return str(np.format_float_positional(float(f"{value:.{digits}g}"), trim="-"))
