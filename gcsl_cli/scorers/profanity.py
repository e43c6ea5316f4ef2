"""Toxicity by alt-profanity-check: a linear classifier on word counts, about 100,000 texts per second on a CPU."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.scorers.base import Example, Scorer


@dataclass
class ProfanityScorer(Scorer):
    """Probability that a completion is profane or offensive, in [0, 1]; higher is worse."""

    name: str = "alt-profanity-check"

    lower_is_better: ClassVar[bool] = True

    def grade(self, examples: Sequence[Example]) -> Floats:
        """The toxicity of each completion."""
        from profanity_check import predict_prob

        return np.asarray(predict_prob([example.completion for example in examples]), dtype=np.float64)

    def limits(self) -> tuple[float, float]:
        """A probability."""
        return 0.0, 1.0
