"""Rank a user's held-out titles among titles the user never rated: candidates, metrics, and baseline scores."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.metrics.bootstrap import PerPrompt, mean_over_prompts
from gcsl_cli.metrics.ranking import hit_rate, ndcg, placed, reciprocal_rank
from gcsl_cli.tasks.recommendation.histories import HeldOut, held_out_ranges
from gcsl_cli.tasks.recommendation.rating_log import RatingLog

CUTS = (1, 5, 10)
METRICS = {
    "hr_10": "HR@10",
    "hr_5": "HR@5",
    "hr_1": "HR@1",
    "ndcg_10": "NDCG@10",
    "ndcg_5": "NDCG@5",
    "mrr": "MRR",
}
"""Label of each metric of a ranking."""
NEIGHBOURS = 20
"""The default of implicit's `ItemItemRecommender`."""


logger = logging.getLogger("gcsl")


@dataclass(frozen=True)
class Case:
    """The candidates of one test user. Titles are indices into those of the log."""

    user: int
    held_out: list[int]
    ratings: Floats
    """The user's ratings of the held-out titles."""
    negatives: list[int]

    @property
    def candidates(self) -> list[int]:
        """All titles to rank, the held-out ones first."""
        return [*self.held_out, *self.negatives]


def make_case(log: RatingLog, user: int, held_out: HeldOut, negatives: int | None, seed: Sequence[int]) -> Case:
    """Draw at most `negatives` titles that the user never rated (None: all), from the seed."""
    test = held_out_ranges(log, user, held_out)[1]
    unseen = np.setdiff1d(log.rated, log.items[log.of_user(user)])
    if negatives is not None and negatives < len(unseen):
        unseen = np.random.default_rng(seed).choice(unseen, negatives, replace=False)
    ratings = log.ratings[test.start : test.stop].astype(np.float64)
    return Case(user, log.items[test.start : test.stop].tolist(), ratings, unseen.tolist())


def ranking_metrics(
    cases: Sequence[Case], scores: Sequence[Floats], liked: float
) -> tuple[dict[str, PerPrompt], Floats]:
    """Rank each user's held-out titles among the negatives, and return the rating of the top-ranked one, `(users,)`.

    `scores` are those of each user's candidates, held-out titles first, `(candidates,)`; `liked` is the lowest rating
    of a held-out title that counts as liked.
    """
    values: dict[str, list[float]] = {}
    liked_hits: list[tuple[float, float]] = []
    top_ratings = []
    for case, scored in zip(cases, scores, strict=True):
        own = scored[: len(case.held_out)]
        above, ties = placed(own, scored[len(case.held_out) :])
        hits = {f"hr_{k}": hit_rate(above, ties, k) for k in CUTS}
        of_user = hits | {f"ndcg_{k}": ndcg(above, ties, k) for k in CUTS[1:]}
        for key, each in (of_user | {"mrr": reciprocal_rank(above, ties)}).items():
            values.setdefault(key, []).append(float(each.mean()))
        good = case.ratings >= liked
        liked_hits.append((float(hits["hr_10"][good].sum()), float(good.sum())))
        top_ratings.append(float(case.ratings[own == own.max()].mean()))
    metrics = {key: mean_over_prompts(np.array(each)) for key, each in values.items()}
    metrics["hr_10_liked"] = PerPrompt(*np.array(liked_hits, dtype=np.float64).reshape(-1, 2).T)
    metrics["top_rating"] = mean_over_prompts(np.array(top_ratings, dtype=np.float64))
    return metrics, np.array(top_ratings, dtype=np.float64)


def baseline_scores(log: RatingLog, training: Ints, cases: Sequence[Case], held_out: int) -> dict[str, list[Floats]]:
    """Score the candidates of each user by chance, popularity and, if implicit is installed, item-kNN.

    Baselines know the ratings with the indices `training`, but not the last `held_out` ratings of a user. Returns the
    scores per baseline and user, `(candidates,)`.
    """
    popularity = np.bincount(log.items[training], minlength=len(log.titles)).astype(np.float64)
    scores = {
        "random": [np.zeros(len(case.candidates)) for case in cases],
        "popularity": [popularity[case.candidates] for case in cases],
    }
    try:
        scores["item-kNN"] = _item_knn(log, training, cases, held_out)
    except ImportError:
        logger.info("skipping item-kNN, which needs implicit: pip install 'gcsl-cli[recommendation]'")
    return scores


def _item_knn(log: RatingLog, training: Ints, cases: Sequence[Case], held_out: int) -> list[Floats]:
    """Sum a candidate's cosine similarities to the items that the user has rated."""
    import scipy.sparse as sp
    from implicit.nearest_neighbours import CosineRecommender
    from implicit.utils import ParameterWarning

    user_of_rating = np.repeat(np.arange(len(log.users)), np.diff(log.starts))
    shape = (len(log.users), len(log.titles))
    matrix = sp.csr_matrix((np.ones(len(training)), (user_of_rating[training], log.items[training])), shape=shape)
    model = CosineRecommender(K=NEIGHBOURS, num_threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParameterWarning)  # about a matrix that implicit builds itself
        model.fit(matrix, show_progress=False)
    scored = []
    for case in cases:
        part = log.of_user(case.user)
        seen = log.items[part.start : part.stop - held_out]
        totals = np.asarray(model.similarity[seen].sum(axis=0)).ravel()
        scored.append(totals[case.candidates].astype(np.float64))
    return scored
