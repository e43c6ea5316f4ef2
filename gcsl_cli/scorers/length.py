"""The length of a completion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gcsl_cli.configs import ranges
from gcsl_cli.data.arrays import Floats
from gcsl_cli.errors import ConfigError, listed
from gcsl_cli.scorers.base import Example, Scorer

UNITS = ("words", "characters")


@dataclass
class LengthScorer(Scorer):
    """The number of words or characters, or with a `target` minus the distance to it."""

    name: str = "length"
    unit: str = "words"
    target: int | None = None

    def grade(self, examples: Sequence[Example]) -> Floats:
        """Longer is better; with a `target`, closer to it is."""
        texts = [example.completion for example in examples]
        lengths = np.array([len(text.split() if self.unit == "words" else text) for text in texts], dtype=np.float64)
        return lengths if self.target is None else 0.0 - np.abs(lengths - self.target)

    def check(self) -> None:
        """Raise `ConfigError` for an unknown unit, or a length that no text has."""
        if self.unit not in UNITS:
            raise ConfigError(f"scorer.unit={self.unit}: unknown. Allowed: {listed(UNITS)}.")
        if self.target is not None:
            for problem in ranges.between("scorer.target", self.target, 0, ranges.LARGEST_COUNT):
                raise ConfigError(problem)
