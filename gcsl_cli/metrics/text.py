"""Metrics of text that need no scorer: diversity, length, empty completions, perplexity.

Words are separated by whitespace. Completions are one list of samples per prompt: [["a b", "a c"], ["", "b"]].
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gcsl_cli.data.arrays import Floats
from gcsl_cli.metrics.bootstrap import PerPrompt


def distinct_n(completions: Sequence[Sequence[str]], n: int) -> PerPrompt:
    """Number of distinct n-grams in all samples of a prompt, divided by the number of words (not n-grams) in them.

    This is the convention of Quark (Lu et al. 2022, `distinctness` in its `utils/utils.py`) and of DExperts before it,
    with two exceptions: a run of whitespace separates words once, and an empty completion has no words (theirs has one
    empty word). Prompts without any word are left out.
    """
    distinct = np.zeros(len(completions))
    words = np.zeros(len(completions))
    for row, samples in enumerate(completions):
        split = [sample.split() for sample in samples]
        grams = {tuple(text[start : start + n]) for text in split for start in range(len(text) - n + 1)}
        distinct[row] = len(grams)
        words[row] = sum(len(text) for text in split)
    ratio = np.divide(distinct, words, out=np.full_like(words, np.nan), where=words > 0)
    return PerPrompt(ratio, np.ones_like(words))


def mean_words(completions: Sequence[Sequence[str]]) -> PerPrompt:
    """Mean number of words per completion."""
    return _share_of_samples(completions, [sum(len(text.split()) for text in samples) for samples in completions])


def mean_tokens(tokens: npt.NDArray[np.integer]) -> PerPrompt:
    """Mean number of tokens per completion, from counts of shape (prompts, samples)."""
    return PerPrompt(tokens.sum(axis=1).astype(np.float64), np.full(tokens.shape[0], float(tokens.shape[1])))


def empty_share(completions: Sequence[Sequence[str]]) -> PerPrompt:
    """The share of completions that are empty or whitespace."""
    return _share_of_samples(completions, [sum(not text.strip() for text in samples) for samples in completions])


def perplexity(nll: Floats, tokens: npt.NDArray[np.integer]) -> PerPrompt:
    """exp(nats per token), from each prompt's summed negative log-likelihood and token count, shape (prompts,).

    All tokens have equal weight, so long completions count more than short ones. The mean is taken before the
    exponential.
    """
    return PerPrompt(nll, tokens.astype(np.float64), transform="exp")


def _share_of_samples(completions: Sequence[Sequence[str]], counts: Sequence[int]) -> PerPrompt:
    samples = [len(row) for row in completions]
    return PerPrompt(np.asarray(counts, dtype=np.float64), np.asarray(samples, dtype=np.float64))
