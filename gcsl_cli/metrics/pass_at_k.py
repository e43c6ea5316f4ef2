"""pass@k (Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1), unbiased."""

import numpy as np

from gcsl_cli.data.arrays import Bools
from gcsl_cli.metrics.bootstrap import PerPrompt


def pass_at_k(solved: Bools, k: int) -> PerPrompt:
    """The probability that at least one of `k` samples of a problem passes all tests, estimated from `n` samples.

    It is 1 - C(n - c, k) / C(n, k) if c of the n samples pass, and undefined (NaN) if n < k. `solved` tells which
    samples pass, shape (problems, n).
    """
    problems, n = solved.shape
    if n < k:
        return PerPrompt(np.full(problems, np.nan), np.ones(problems))
    wrong = n - solved.sum(axis=1)[:, None]
    # As a product of k ratios, because binomial coefficients would overflow.
    places = np.arange(k)
    missed = np.prod(np.clip(wrong - places, 0, None) / (n - places), axis=1)
    return PerPrompt(1.0 - missed, np.ones(problems))
