"""Rankings of candidates that need no language model: chance, popularity, item-kNN."""

import logging
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.tasks.recommendation.log import RatingLog

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NEIGHBOURS = 20
"""The default of implicit's `ItemItemRecommender`."""

log = logging.getLogger("gcsl")


def reference_scores(
    found: RatingLog, training: Ints, users: Sequence[int], candidates: Sequence[Ints], held_out: int
) -> dict[str, list[Floats]]:
    """What each rule gives the candidates of each user, `(candidates,)`; item-kNN only where implicit is installed.

    Args:
        found: all ratings.
        training: which of them are training data.
        users: whose candidates are ranked.
        candidates: places of titles, one array a user.
        held_out: how many of a user's last ratings nothing may be learned from.
    """
    popularity = np.bincount(found.items[training], minlength=len(found.titles)).astype(np.float64)
    scores = {
        "random": [np.zeros(len(chosen)) for chosen in candidates],
        "popularity": [popularity[chosen] for chosen in candidates],
    }
    try:
        scores["item-kNN"] = _item_knn(found, training, users, candidates, held_out)
    except ImportError:
        log.info("item-kNN is left out; it needs implicit: pip install 'gcsl-cli[recommendation]'")
    return scores


def _item_knn(
    found: RatingLog, training: Ints, users: Sequence[int], candidates: Sequence[Ints], held_out: int
) -> list[Floats]:
    """Cosine similarity of the users of two items, summed over the items that a user has rated."""
    import scipy.sparse as sp
    from implicit.nearest_neighbours import CosineRecommender
    from implicit.utils import ParameterWarning

    counts = np.diff(found.starts)
    of_rating = np.repeat(np.arange(len(found.users)), counts)
    shape = (len(found.users), len(found.titles))
    matrix = sp.csr_matrix((np.ones(len(training)), (of_rating[training], found.items[training])), shape=shape)
    model = CosineRecommender(K=NEIGHBOURS, num_threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParameterWarning)  # about a matrix of its own
        model.fit(matrix, show_progress=False)
    similarity = model.similarity
    scored = []
    for user, chosen in zip(users, candidates, strict=True):
        part = found.of_user(user)
        seen = found.items[part.start : part.stop - held_out]
        totals = np.asarray(similarity[seen].sum(axis=0)).ravel()
        scored.append(totals[chosen].astype(np.float64))
    return scored
