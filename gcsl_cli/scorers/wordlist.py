"""Profanity by word list (better-profanity), a measure independent of the classifier and its training data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gcsl_cli.data.arrays import Floats


@dataclass
class WordListScorer:
    """1 for a text with a listed word, else 0."""

    name: str = "better-profanity"

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Return 1 or 0 for each text, shape `(texts,)`."""
        from better_profanity import profanity

        return np.array([profanity.contains_profanity(text) for text in texts], dtype=np.float64)
