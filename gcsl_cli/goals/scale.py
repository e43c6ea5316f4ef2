"""The grading scale, and how its numbers are written.

Internally a higher score is always better. If lower grades are better (toxicity, seconds), score = -grade. Users see,
configure and request grades.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Scale:
    """Name, ends and direction of a grading scale."""

    name: str
    low: float
    high: float
    lower_is_better: bool = False
    closed: bool = False
    """No grade is possible beyond the ends."""

    def grade(self, score: float) -> float:
        """Convert a score to a grade."""
        return 0.0 - score if self.lower_is_better else float(score)

    def score(self, grade: float) -> float:
        """Convert a grade to a score."""
        return 0.0 - grade if self.lower_is_better else float(grade)

    def rounded(self, grade: float) -> float:
        """Round a grade to about a thousandth of the scale, which is all that a reader needs."""
        span = abs(self.high - self.low)
        return round(grade, max(0, 3 - math.floor(math.log10(span)))) if span else grade


def short_numbers(values: Sequence[float]) -> tuple[str, ...]:
    """Format numbers briefly: three significant digits, or more where distinct numbers would look the same."""
    distinct = len(set(values))
    for digits in range(3, 18):
        texts = tuple(_rounded(value, digits) for value in values)
        if len(set(texts)) == distinct:
            return texts
    return tuple(repr(value) for value in values)


def short_number(value: float) -> str:
    """Format one number briefly."""
    return short_numbers([value])[0]


def _rounded(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    # Round first, so that 0.1 + 0.2 reads 0.3. Digits before the decimal point are never rounded.
    digits = max(digits, len(str(int(abs(value)))))
    return str(np.format_float_positional(float(f"{value:.{digits}g}"), trim="-"))
