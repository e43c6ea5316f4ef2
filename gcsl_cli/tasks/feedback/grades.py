"""Read grades: numbers, numbers as text, true and false, words that the user explains, and lists of several ratings."""

import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from gcsl_cli.data.input_files import Fault
from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.feedback.columns import RARER, USUAL

WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "👍": 1.0, "👎": 0.0}
"""Texts that are grades everywhere."""
GOOD = {
    "good",
    "up",
    "thumbs up",
    "thumbs_up",
    "positive",
    "pass",
    "passed",
    "correct",
    "like",
    "liked",
    "helpful",
    "+",
}
BAD = {"bad", "down", "thumbs down", "thumbs_down", "negative", "fail", "failed", "incorrect", "dislike", "wrong", "-"}
REDUCE: dict[str, Callable[[list[float]], float]] = {
    "mean": lambda ratings: float(np.mean(ratings)),
    "median": lambda ratings: float(np.median(ratings)),
    "min": min,
    "max": max,
}
MOST_WORDS = 12
"""Distinct texts up to which a column of grades looks like words rather than like prose."""
_VALUE_KEYS = ("value", *USUAL["score"], *RARER["score"])
SHARES = "grades written as shares, read as numbers: 85% is 85, 4/5 is 0.8"
_NUMBER = r"[-+]?\d*\.?\d+"
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_SHARE = re.compile(rf"\s*({_NUMBER})\s*(?:%|/\s*({_NUMBER}))\s*")
_LETTERS = "FEDCBA"
"""School grades, the worst first."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]*")


@dataclass(frozen=True, slots=True)
class GradeRules:
    """How the values of a score column become grades."""

    words: Mapping[str, float] = field(default_factory=dict)
    """Grades of texts, which are folded."""
    reduce: str = "mean"
    """How several ratings become one: a name in `REDUCE`."""
    decimal: str = "."
    """The decimal mark of numbers that are text."""
    notes: Counter[str] = field(default_factory=Counter)
    """What was changed, and how often."""

    def grade(self, value: Any, column: str) -> float:
        """Convert a value to a grade.

        Raises:
            Fault: the value is not a grade, or not finite.
        """
        if type(value) in (int, float) and not self.words:
            return _finite(value, column)
        if isinstance(value, list):
            ratings = [self.grade(_rating(item), column) for item in value if item is not None]
            if not ratings:
                raise Fault(f"{column} is missing", column, value)
            return REDUCE[self.reduce](ratings)
        if value is None or value == "":
            raise Fault(f"{column} is missing", column, value)
        if not isinstance(value, int | float | str | Decimal):
            raise Fault(f"{column} is not a number", column, value)
        word = folded(value)
        known = self.words.get(word)
        if known is None and isinstance(value, str):
            known = WORDS.get(word)
        return self._number(self._point(value), column) if known is None else known

    def _number(self, value: Any, column: str) -> float:
        try:
            return _finite(value, column)
        except Fault:
            share = _SHARE.fullmatch(value) if isinstance(value, str) else None
            if share is None:
                raise
        whole = float(share[2] or 1)
        self.notes[SHARES] += 1
        return _finite(float(share[1]) / whole if whole else math.inf, column)

    def _point(self, value: Any) -> Any:
        """The value with a decimal point, without the points between thousands."""
        if self.decimal != "," or not isinstance(value, str) or "," not in value:
            return value
        return value.replace(".", "").replace(",", ".")


def _finite(value: Any, column: str) -> float:
    try:
        grade = float(value)
    except ValueError:
        raise Fault(f"{column} is not a number", column, value) from None
    except OverflowError:
        raise Fault(f"{column} is not a finite number", column, value) from None
    if not math.isfinite(grade):
        raise Fault(f"{column} is not a finite number", column, str(value))
    return grade


def _rating(item: Any) -> Any:
    """The grade of one rater, which may stand in an object."""
    if not isinstance(item, dict):
        return item
    return next((item[key] for key in _VALUE_KEYS if key in item), item)


def folded(value: Any) -> str:
    """A text as it is compared: without case and surrounding white space."""
    return str(value).strip().casefold()


def parse_words(configured: Any) -> dict[str, float]:
    """The grades of texts in `task.grades`: `{good: 1, bad: 0}`, or pairs `[["👍", 1], ["👎", 0]]`.

    Raises:
        ConfigError: it is neither, or a grade is not a number.
    """
    if configured is None:
        return {}
    pairs = list(configured.items()) if isinstance(configured, Mapping) else configured
    try:
        words = {folded(text): float(grade) for text, grade in pairs}
    except (TypeError, ValueError):
        words = {}
    if not words or not all(map(math.isfinite, words.values())):
        raise ConfigError(
            f"task.grades={configured}: expected the grade of each text, for example 'task.grades={{good: 1, bad: 0}}'."
        )
    return words


def words_override(texts: Sequence[str]) -> str:
    """The setting that gives each text a grade, ready to be pasted; the grades of unknown texts are their order."""
    known = {text: grade for text in texts if (grade := _apparent(text)) is not None}
    clear = len(known) == len(texts) and len({*known.values()}) > 1
    grades = known if clear else {text: float(number) for number, text in enumerate(texts)}
    if all(_PLAIN.fullmatch(text) for text in texts):
        return shlex.quote("task.grades={" + ", ".join(f"{text}: {grade:g}" for text, grade in grades.items()) + "}")
    pairs = ", ".join(f"[{json.dumps(text, ensure_ascii=False)}, {grade:g}]" for text, grade in grades.items())
    return shlex.quote(f"task.grades=[{pairs}]")


def _apparent(text: str) -> float | None:
    """The grade that a text seems to mean: good or bad, stars, a number in it, or a school grade; None if unknown."""
    word = folded(text)
    if word in GOOD | BAD:
        return float(word in GOOD)
    if stars := len(re.findall("[★⭐]", word)):
        return float(stars)
    if number := re.search(_NUMBER, word):
        return float(number[0])
    return float(_LETTERS.index(word.upper())) if len(word) == 1 and word.upper() in _LETTERS else None
