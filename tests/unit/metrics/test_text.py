"""Diversity, length and perplexity on hand-counted text."""

import math

import numpy as np
import pytest

from gcsl_cli.metrics import text
from gcsl_cli.metrics.bootstrap import PerPrompt, interval


def value(metric: PerPrompt) -> float:
    return interval(metric, resamples=10, seed=0).value


@pytest.mark.parametrize(("n", "expected"), [(1, (3 / 5 + 2 / 2) / 2), (2, (2 / 5 + 1 / 2) / 2), (3, (1 / 5 + 0) / 2)])
def test_distinct_n_divides_by_words_and_averages_over_prompts(n: int, expected: float) -> None:
    """Prompt 0: 5 words; distinct: a, b, c; "a b", "b c"; "a b c". Prompt 1: 2 words; distinct: x, y; "x y"; none."""
    assert value(text.distinct_n([["a b c", "a b"], ["x  y", ""]], n)) == pytest.approx(expected)


def test_n_grams_do_not_cross_completions() -> None:
    """ "a" and "b" are two completions, so there is no bigram "a b": 0 / 2."""
    assert value(text.distinct_n([["a", "b"]], 2)) == 0.0


def test_words_that_contain_the_join_character_stay_apart() -> None:
    """The bigrams (a_b, c) and (a, b_c) are two: 2 / 4."""
    assert value(text.distinct_n([["a_b c", "a b_c"]], 2)) == 0.5


def test_a_prompt_without_words_is_left_out_of_distinct_n() -> None:
    estimate = interval(text.distinct_n([["", " "], ["a a", "b"]], 1), resamples=10, seed=0)

    assert estimate.value == pytest.approx(2 / 3)
    assert (estimate.n, estimate.left_out) == (1, 1)


def test_mean_words_counts_completions() -> None:
    """(2 + 0 + 1 + 3) / 4."""
    assert value(text.mean_words([["a b", ""], ["a", "a  b\nc"]])) == 1.5


def test_mean_tokens() -> None:
    """(1 + 2 + 3 + 6) / 4."""
    assert value(text.mean_tokens(np.array([[1, 2], [3, 6]]))) == 3.0


def test_empty_share_counts_whitespace_as_empty() -> None:
    """Two of four."""
    assert value(text.empty_share([["", "a"], [" \n", "b"]])) == 0.5


def test_perplexity_weighs_tokens_equally() -> None:
    """exp((2 ln 2 + 1 ln 16) / 3) = exp(6 ln 2 / 3) = 4; the prompt without tokens is left out."""
    metric = text.perplexity(np.array([2 * math.log(2), math.log(16), 0.0]), np.array([2, 1, 0]))
    estimate = interval(metric, resamples=10, seed=0)

    assert estimate.value == pytest.approx(4.0)
    assert estimate.left_out == 1
