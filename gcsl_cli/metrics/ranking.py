"""Ranking metrics for one relevant item among candidates, with ties broken at random, in expectation.

An item with `above` candidates above it and `ties` other candidates of the same value has each of the ranks above + 1
to above + ties + 1 with equal probability. If all values are equal, the metrics are those of a random ranking.
"""

import numpy as np

from gcsl_cli.data.arrays import Bools, Floats, Ints
from gcsl_cli.metrics.bootstrap import PerPrompt, mean_over_prompts


def placed(relevant: Floats, others: Floats) -> tuple[Ints, Ints]:
    """Count the `others` above each relevant value and those tied with it, both of shape (relevant,)."""
    ordered = np.sort(others)
    below, not_above = (np.searchsorted(ordered, relevant, side=side) for side in ("left", "right"))
    return len(ordered) - not_above, not_above - below


def hit_rate(above: Ints, ties: Ints, k: int) -> Floats:
    """Probability that the item is among the first `k` (HR@k; with one relevant item, also recall@k)."""
    return np.clip((k - above) / (ties + 1), 0.0, 1.0)


def ndcg(above: Ints, ties: Ints, k: int) -> Floats:
    """NDCG@k with one relevant item: 1 / log2(rank + 1) up to rank `k` (Järvelin and Kekäläinen 2002)."""
    return _expected(1.0 / np.log2(np.arange(2, k + 2)), above, ties)


def reciprocal_rank(above: Ints, ties: Ints) -> Floats:
    """1 / rank; its mean is the MRR."""
    most = int((above + ties).max(initial=0)) + 1
    return _expected(1.0 / np.arange(1, most + 1), above, ties)


def _expected(gains: Floats, above: Ints, ties: Ints) -> Floats:
    """Mean of `gains`, by rank, over the ranks that an item may have; the gain is 0 beyond the last."""
    sums = np.concatenate([[0.0], np.cumsum(gains)])
    ends = np.minimum(above + ties + 1, len(gains))
    return (sums[ends] - sums[np.minimum(above, len(gains))]) / (ties + 1)


def auc_parts(values: Floats, good: Bools) -> PerPrompt:
    """The AUC of `values` for `good`, both of shape (rows,), as a mean over rows that can be resampled and paired.

    Each row has its structural component (DeLong et al. 1988), scaled so that the mean over all rows is the AUC and the
    variance of that mean is DeLong's. All NaN if one class is empty.
    """
    count, positive = len(values), int(good.sum())
    if positive in (0, count):
        return mean_over_prompts(np.full(count, np.nan))
    parts = np.empty(count)
    for chosen, sign in ((good, 1), (~good, -1)):
        above, ties = placed(sign * values[chosen], sign * values[~chosen])
        others = count - int(chosen.sum())
        parts[chosen] = (others - above - ties / 2) / others
    auc = parts[good].mean()
    share = np.where(good, positive, count - positive) / count
    return mean_over_prompts(auc + (parts - auc) / share)
