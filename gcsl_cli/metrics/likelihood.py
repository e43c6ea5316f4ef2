"""Likelihoods of given completions, averaged over tokens and grouped by prompt."""

from collections.abc import Sequence

import numpy as np

from gcsl_cli.data.arrays import Bools, Floats, Ints
from gcsl_cli.metrics.bootstrap import PerPrompt


def per_token(log_probs: Floats, tokens: Ints, prompt_ids: Sequence[str], chosen: Bools) -> PerPrompt:
    """Mean log-probability per token (nats) of the chosen rows; a prompt without such rows is undefined.

    `log_probs` are sums over the completion tokens of each row; all arrays have shape (rows,).
    """
    _, groups = np.unique(np.asarray(prompt_ids), return_inverse=True)
    size = int(groups.max()) + 1 if len(groups) else 0
    parts = [np.where(chosen, values, 0.0) for values in (log_probs, tokens)]
    numerator, denominator = (np.bincount(groups, weights=part, minlength=size).astype(np.float64) for part in parts)
    return PerPrompt(numerator, denominator)
