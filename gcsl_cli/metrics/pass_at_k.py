"""pass@k (Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1), unbiased."""

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.metrics.bootstrap import PerPrompt


def pass_at_k(solved: NDArray[np.bool_], k: int) -> PerPrompt:
    """The chance that one of `k` samples of a problem passes all tests, from `n` of them.

    1 - C(n - c, k) / C(n, k) for c solutions among n; undefined (NaN) where n < k.

    Args:
        solved: which samples pass, `(problems, n)`.
        k: samples that one may try.
    """
    problems, n = solved.shape
    if n < k:
        return PerPrompt(np.full(problems, np.nan), np.ones(problems))
    wrong = n - solved.sum(axis=1)[:, None]
    # A product of k ratios: binomial coefficients would overflow.
    places = np.arange(k)
    missed = np.prod(np.clip(wrong - places, 0, None) / (n - places), axis=1)
    return PerPrompt(1.0 - missed, np.ones(problems))
