"""Several scores of completions: the parts of a `WeightedScorer`, each kept apart from their mean.

{"polite": 1.0, "words": 3.0} for " thank you, Minka", and the score is their weighted mean
"""

from abc import abstractmethod
from collections.abc import Sequence

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.records import FeedbackRows, Prompt
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.parts import Part, check_names, known_name
from gcsl_cli.scorers.base import Example, Scorer
from gcsl_cli.scorers.weighted import WeightedScorer
from gcsl_cli.tasks.named_scores import NamedScores

KEY = "task.scores"


class WeightedParts(NamedScores):
    """A task whose `scores` name parts of its scorer, each of which is a score; if empty, there is a single score."""

    scorer: Scorer | None

    @abstractmethod
    def examples(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Example]:
        """What the scorer gets to see."""

    def score_names(self) -> list[str]:
        """The parts of the scorer in `task.scores`."""
        return list(self.parts(None))

    def parts(self, feedback: FeedbackRows | None) -> dict[str, Part]:  # noqa: ARG002
        """Each named part of the scorer, on its range."""
        return self.weighted.goal_parts(self.scores) if self.scores else {}

    def graded_scores(self) -> list[str]:
        """All that rows have."""
        return self.score_names()

    def part_scores(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> dict[str, Floats]:
        """The score of each completion by each part, `(completions,)` each; NaN for no grade."""
        return self.mean_and_parts(prompts, completions)[1]

    def mean_and_parts(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> tuple[Floats, dict[str, Floats]]:
        """The weighted mean over the parts that have a grade, and the score by each part."""
        grades = self.weighted.grades(self.examples(prompts, completions))
        return self.weighted.mean(grades, complete=False), self.weighted.scores(grades, self.scores)

    @property
    def weighted(self) -> WeightedScorer:
        """The scorer, of which all names are parts.

        Raises:
            ConfigError: it has no parts, or not these.
        """
        check_names(KEY, self.scores)
        if not isinstance(self.scorer, WeightedScorer):
            given = "no scorer" if self.scorer is None else f"scorer={self.scorer.name}"
            raise ConfigError(
                f"{KEY}=[{','.join(self.scores)}] with {given}: several scores are parts of scorer=weighted "
                "(docs/several_goals.md). Choose it, or leave the key out."
            )
        for name in self.scores:
            known_name(KEY, name, list(self.scorer.parts))
        return self.scorer


def grades_all(scorer: Scorer | None, names: Sequence[str]) -> bool:
    """Whether a scorer grades each of the named scores: all of them are parts of it."""
    return bool(names) and isinstance(scorer, WeightedScorer) and set(names) <= set(scorer.parts)
