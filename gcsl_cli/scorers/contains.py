"""Words or a pattern in a completion."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.errors import ConfigError
from gcsl_cli.scorers.base import Example, Scorer


@dataclass
class ContainsScorer(Scorer):
    """The share of `words` that a completion contains, or whether it matches `regex`; both ignore case."""

    name: str = "contains"
    words: list[str] = field(default_factory=list)
    regex: str | None = None
    absent: bool = False

    def grade(self, examples: Sequence[Example]) -> Floats:
        """From 0 for none of the words to 1 for all of them; the reverse with `absent`."""
        patterns = self._patterns()
        shares = [sum(bool(one.search(example.completion)) for one in patterns) / len(patterns) for example in examples]
        return 1.0 - np.array(shares) if self.absent else np.array(shares)

    def check(self) -> None:
        """Raise `ConfigError` unless there are words or a valid pattern."""
        self._patterns()

    def limits(self) -> tuple[float, float]:
        """A share."""
        return 0.0, 1.0

    def _patterns(self) -> list[re.Pattern[str]]:
        if bool(self.words) == (self.regex is not None) or not all(word.strip() for word in self.words):
            raise ConfigError(
                "scorer=contains looks for words or for a pattern: 'scorer.words=[please,thank you]', or "
                r"scorer.regex='\d+'."
            )
        if self.regex is None:
            # A word does not count inside of another one: "art" is not in "start".
            return [re.compile(rf"(?<!\w){re.escape(word.strip())}(?!\w)", re.IGNORECASE) for word in self.words]
        try:
            return [re.compile(self.regex, re.IGNORECASE)]
        except re.error as error:
            raise ConfigError(f"scorer.regex={self.regex}: not a regular expression ({error}).") from error
