"""Profanity by a list of words (better-profanity): a measure that has not seen the classifier's data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class WordListScorer:
    """1 where a text has a word of the list, else 0."""

    name: str = "better-profanity"

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Whether each text has a listed word, `(texts,)`."""
        from better_profanity import profanity

        return np.array([profanity.contains_profanity(text) for text in texts], dtype=np.float64)
