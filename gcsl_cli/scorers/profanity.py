"""Toxicity by alt-profanity-check: a linear classifier on word counts, about 100,000 texts per second on a CPU."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gcsl_cli.data.arrays import Floats


@dataclass
class ProfanityScorer:
    """Probability that a text is profane or offensive, in [0, 1]; higher is worse."""

    name: str = "alt-profanity-check"

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Return the toxicity of each text, shape `(texts,)`."""
        from profanity_check import predict_prob

        if not texts:
            return np.empty(0)
        return np.asarray(predict_prob(list(texts)), dtype=np.float64)
