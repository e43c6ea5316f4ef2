"""Several scores of a recommended title: the rating that the user gave it, and its novelty.

The novelty of a title is the share of users without a training rating of it, from 0 to 1: the popularity complement of
Vargas and Castells (2011). "Heat (1995)", rated 4 by this user, and by a tenth of all users, has the scores 4 and 0.9.
"""

from collections.abc import Sequence

import numpy as np

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.goals.parts import Part, check_names, known_name, weighted_mean
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt, mean_over_prompts
from gcsl_cli.tasks.named_scores import NamedScores
from gcsl_cli.tasks.recommendation.candidates import Case
from gcsl_cli.tasks.recommendation.rating_log import RatingLog

KEY = "task.scores"
TOP = 10
RATED = {
    "threshold": "this viewer would rate at least {level} of {high} stars",
    "exact": "this viewer would rate {level} of {high} stars",
}
UNKNOWN = {
    "threshold": "a share of at least {level} of all viewers has not rated",
    "exact": "a share of {level} of all viewers has not rated",
}


class RatingAndNovelty(NamedScores):
    """A task whose rows have the scores that `scores` names; if empty, they have the rating alone."""

    scale: list[float]

    def score_names(self) -> list[str]:
        """The scores in `task.scores`: rating, novelty, or both."""
        if self.scores:
            check_names(KEY, self.scores)
        return [known_name(KEY, name, ["rating", "novelty"]) for name in self.scores]

    def parts(self, feedback: FeedbackRows) -> dict[str, Part]:  # noqa: ARG002
        """The rating on its scale, and the novelty from 0 to 1."""
        known = {
            "rating": Part(Scale("rating", self.scale[0], self.scale[1], closed=True), templates=RATED),
            "novelty": Part(Scale("novelty", 0.0, 1.0, closed=True), templates=UNKNOWN),
        }
        return {name: known[name] for name in self.score_names()}

    def goal_frame(self) -> str:
        """The goal describes the next title."""
        return "Recommend a movie that {parts}."

    def with_novelty(self, rows: FeedbackRows, novelty: Floats) -> FeedbackRows:
        """The rows with the scores that are configured, and their mean as the score; `novelty` is `(rows,)`."""
        known = {"rating": rows.scores, "novelty": novelty}
        found = {name: known[name] for name in self.score_names()}
        return rows.with_score(weighted_mean(found, self.parts(rows))).with_scores(found) if found else rows


def novelty_of(log: RatingLog, training: Ints) -> Floats:
    """The novelty of each title of the log, `(titles,)`, by the ratings with the indices `training`."""
    rated = np.bincount(log.items[training], minlength=len(log.titles))
    return 1.0 - np.minimum(rated / len(log.users), 1.0)


def novelty_of_top(cases: Sequence[Case], scores: Sequence[Floats], novelty: Floats) -> PerPrompt:
    """Mean novelty of the ten candidates of each user with the highest scores; ties at the end count in part."""
    found = []
    for case, scored in zip(cases, scores, strict=True):
        count = min(TOP, len(scored))
        last = np.sort(scored)[-count]
        above, level = scored > last, scored == last
        weights = above + level * (count - above.sum()) / level.sum()
        found.append(float(np.average(novelty[case.candidates], weights=weights)))
    return mean_over_prompts(np.array(found))
