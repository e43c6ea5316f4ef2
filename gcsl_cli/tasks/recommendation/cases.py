"""What a user is ranked on: held-out titles among titles that the user has never rated, and how well that went."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.metrics.bootstrap import PerPrompt, mean_over_prompts
from gcsl_cli.metrics.ranking import hit_rate, ndcg, placed, reciprocal_rank
from gcsl_cli.tasks.recommendation.histories import HeldOut, held_out_places
from gcsl_cli.tasks.recommendation.log import RatingLog

CUTS = (1, 5, 10)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A user as evaluation sees one; titles are places in the log's."""

    user: int
    held_out: list[int]
    ratings: Floats
    """Of the held-out titles."""
    negatives: list[int]


def case_of(log: RatingLog, user: int, held_out: HeldOut, negatives: int | None, seed: Sequence[int]) -> Case:
    """The case of a user; at most so many negatives are drawn from the seed, `None` takes all."""
    test = held_out_places(log, user, held_out)[1]
    unseen = np.setdiff1d(log.rated, log.items[log.of_user(user)])
    if negatives is not None and negatives < len(unseen):
        unseen = np.random.default_rng(seed).choice(unseen, negatives, replace=False)
    ratings = log.ratings[test.start : test.stop].astype(np.float64)
    return Case(user, log.items[test.start : test.stop].tolist(), ratings, unseen.tolist())


def ranked(cases: Sequence[Case], scores: Sequence[Floats], liked: float) -> tuple[dict[str, PerPrompt], Floats]:
    """Metrics of each user's held-out titles among the negatives, and the rating of the first held-out one `(users,)`.

    Args:
        cases: the users.
        scores: what the candidates of each are ranked by, held-out titles first, `(candidates,)`.
        liked: a held-out title rated so or more was liked.
    """
    values: dict[str, list[float]] = {}
    of_liked: list[tuple[float, float]] = []
    first = []
    for case, scored in zip(cases, scores, strict=True):
        own = scored[: len(case.held_out)]
        above, ties = placed(own, scored[len(case.held_out) :])
        hits = {f"hr_{k}": hit_rate(above, ties, k) for k in CUTS}
        of_user = hits | {f"ndcg_{k}": ndcg(above, ties, k) for k in CUTS[1:]}
        for key, each in (of_user | {"mrr": reciprocal_rank(above, ties)}).items():
            values.setdefault(key, []).append(float(each.mean()))
        good = case.ratings >= liked
        of_liked.append((float(hits["hr_10"][good].sum()), float(good.sum())))
        first.append(float(case.ratings[own == own.max()].mean()))
    metrics = {key: mean_over_prompts(np.array(each)) for key, each in values.items()}
    metrics["hr_10_liked"] = PerPrompt(*np.array(of_liked, dtype=np.float64).reshape(-1, 2).T)
    metrics["top_rating"] = mean_over_prompts(np.array(first, dtype=np.float64))
    return metrics, np.array(first, dtype=np.float64)
