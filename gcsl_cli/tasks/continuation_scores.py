"""Several scores of a continuation: how polite it is, how long, and how fluent.

" say thank you" has the politeness 0.98, 3 words, and the log-perplexity 2.5 under the base model. The weighted mean
takes all of them on a scale from 0 to 1.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.records import Generation
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.parts import Part, check_names, known_name, weighted_mean
from gcsl_cli.goals.scale import Scale
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.length import LengthScorer

KEY = "task.scores"
FRAME = "The following text {parts}:"
PHRASES = (
    "contains very hateful, aggressive and obscene language",
    "contains hateful and disrespectful language",
    "contains slightly rude language",
    "contains mostly polite language",
    "contains kind, polite and respectful language",
)
NAMES = ["politeness", "length", "fluency"]
LEAST_FLUENT = 7.0
"""Nats per token, a perplexity of 1100, from which a text is as bad as can be: few strange ones stretch no scale."""
SURPRISES = {"threshold": "has a log-perplexity of at most {level}", "exact": "has a log-perplexity of {level}"}
LENGTHS = {"threshold": "has at most {level} words", "exact": "has {level} words"}


def check(names: Sequence[str]) -> list[str]:
    """The names of scores as configured.

    Raises:
        ConfigError: there is no such score, or one is named twice.
    """
    if names:
        check_names(KEY, names)
    return [known_name(KEY, name, NAMES) for name in names]


def parts_of(
    names: Sequence[str], levels: Sequence[float], longest: int, weights: Mapping[str, float]
) -> dict[str, Part]:
    """The scores by name: politeness with `levels`, the length of at most `longest` words, and log-perplexity.

    Raises:
        ConfigError: a weight is not above 0, or that of no score.
    """
    for name, weight in weights.items():
        known_name(f"{KEY}_weights", name, names)
        if not (math.isfinite(weight) and weight > 0):
            raise ConfigError(f"{KEY}_weights.{name}={weight}: must be a finite number above 0.")
    length = Scale("length", 0.0, float(longest), lower_is_better=True)
    fluency = Scale("log-perplexity", 0.0, LEAST_FLUENT, lower_is_better=True)
    known = {
        "politeness": Part(Scale("politeness", 0.0, 1.0), levels=levels, sentences=PHRASES),
        "length": Part(length, templates=LENGTHS),
        "fluency": Part(fluency, templates=SURPRISES),
    }
    return {name: replace(known[name], weight=weights.get(name, 1.0)) for name in names}


def scores_of(
    names: Sequence[str], politeness: Floats, completions: Sequence[str], perplexity: Floats | None = None
) -> dict[str, Floats]:
    """The scores of each completion by name, `(completions,)` each; `perplexity` is given if fluency is among them."""
    known = {"politeness": politeness}
    if perplexity is not None:
        known["fluency"] = -np.minimum(np.log(perplexity), LEAST_FLUENT)
    if "length" in names:
        known["length"] = -LengthScorer()([Example("", completion) for completion in completions])
    return {name: known[name] for name in names}


def cut(rows: Iterable[Generation], seed: int) -> Iterator[Generation]:
    """The rows, with those that the limit cut off ended after a number of words that is drawn from the seed.

    So short texts are as frequent as long ones, whatever else they are, and all teach the end of text.
    """
    generator = np.random.default_rng(seed)
    for row in rows:
        ends = [word.end() for word in re.finditer(r"\S+", row.completion)]
        if row.finished or not ends:
            yield row
        else:
            yield replace(row, completion=row.completion[: ends[generator.integers(len(ends))]], finished=True)


def mean_of(parts: Mapping[str, Part], scores: Mapping[str, Floats]) -> Floats:
    """The weighted mean of the scores of each completion, `(completions,)`, at least 0."""
    return weighted_mean(scores, parts).clip(min=0.0)
