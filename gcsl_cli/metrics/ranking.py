"""Ranking metrics of one relevant item among candidates, ties in expectation over a random order among them.

An item with `above` candidates above it and `ties` others with its value stands at each of the places above + 1 to
above + ties + 1 with the same probability. Values that are all equal then give exactly what chance gives.
"""

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.metrics.bootstrap import PerPrompt, mean_over_prompts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def placed(relevant: Floats, others: Floats) -> tuple[Ints, Ints]:
    """How many `others` stand above each relevant value, and how many tie with it, both `(relevant,)`."""
    ordered = np.sort(others)
    below, not_above = (np.searchsorted(ordered, relevant, side=side) for side in ("left", "right"))
    return len(ordered) - not_above, not_above - below


def hit_rate(above: Ints, ties: Ints, k: int) -> Floats:
    """The chance that the item is among the first `k` (HR@k; with one relevant item also recall@k)."""
    return np.clip((k - above) / (ties + 1), 0.0, 1.0)


def ndcg(above: Ints, ties: Ints, k: int) -> Floats:
    """NDCG@k with one relevant item: 1 / log2(place + 1) for the first `k` places (Järvelin & Kekäläinen 2002)."""
    return _expected(1.0 / np.log2(np.arange(2, k + 2)), above, ties)


def reciprocal_rank(above: Ints, ties: Ints) -> Floats:
    """1 / place; its mean is the MRR."""
    most = int((above + ties).max(initial=0)) + 1
    return _expected(1.0 / np.arange(1, most + 1), above, ties)


def _expected(gains: Floats, above: Ints, ties: Ints) -> Floats:
    """The mean gain over the places that an item may have; there is none beyond `gains`."""
    sums = np.concatenate([[0.0], np.cumsum(gains)])
    ends = np.minimum(above + ties + 1, len(gains))
    return (sums[ends] - sums[np.minimum(above, len(gains))]) / (ties + 1)


def auc_parts(values: Floats, good: NDArray[np.bool_]) -> PerPrompt:
    """The AUC of `values` for `good`, `(rows,)`, as a mean over rows, so that it can be resampled and compared.

    Each row has its structural component (DeLong et al. 1988), scaled to the whole: the mean is the AUC, and the
    variance of the mean is DeLong's. All NaN where one class is empty.
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
