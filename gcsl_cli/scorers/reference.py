"""Comparisons of a completion with the reference answer of its prompt."""

import difflib
import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.errors import ConfigError
from gcsl_cli.scorers.base import Example, Scorer


@dataclass
class ReferenceScorer(Scorer):
    """Compares each completion with its reference; without one, there is no grade."""

    ignore_case: bool = True

    needs_reference: ClassVar[bool] = True

    def grade(self, examples: Sequence[Example]) -> Floats:
        """From 0 for different to 1 for equal."""
        return np.array([self._grade(example) for example in examples], dtype=np.float64)

    def limits(self) -> tuple[float, float]:
        """A share."""
        return 0.0, 1.0

    @abstractmethod
    def compare(self, completion: str, reference: str) -> float:
        """Compare two texts without superfluous white space, and in lower case if case does not matter."""

    def plain(self, text: str) -> str:
        """The text to compare."""
        text = " ".join(text.split())
        return text.casefold() if self.ignore_case else text

    def _grade(self, example: Example) -> float:
        if example.reference is None:
            self.ungraded["no reference"] += 1
            return np.nan
        return self.compare(self.plain(example.completion), self.plain(example.reference))


@dataclass
class ExactMatchScorer(ReferenceScorer):
    """1 for a completion that equals its reference, else 0."""

    name: str = "exact_match"
    extract: str | None = None

    def compare(self, completion: str, reference: str) -> float:
        """1 if equal, else 0."""
        return float(completion == reference)

    def plain(self, text: str) -> str:
        """The last match of `extract` in the text, or the whole text if there is no pattern or no match."""
        found = list(self._pattern().finditer(text)) if self.extract else []
        return super().plain((found[-1][min(1, found[-1].re.groups)] or "") if found else text)

    def check(self) -> None:
        """Raise `ConfigError` for an invalid pattern."""
        self._pattern()

    def _pattern(self) -> re.Pattern[str]:
        try:
            return re.compile(self.extract or "")
        except re.error as error:
            raise ConfigError(f"scorer.extract={self.extract}: not a regular expression ({error}).") from error


@dataclass
class SimilarityScorer(ReferenceScorer):
    """How much of a completion and its reference are the same words in the same order."""

    name: str = "similarity"

    def compare(self, completion: str, reference: str) -> float:
        """2 * (words in common) / (words of both), by `difflib.SequenceMatcher`."""
        return difflib.SequenceMatcher(None, completion.split(), reference.split(), autojunk=False).ratio()
