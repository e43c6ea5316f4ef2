"""Several scores of a continuation: how polite it is, and how long.

" say thank you" has the politeness 0.98 and 3 words. The weighted mean takes both on a scale from 0 to 1.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.records import Generation
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
LENGTHS = {"threshold": "has at most {level} words", "exact": "has {level} words"}


def check(names: Sequence[str]) -> list[str]:
    """The names of scores as configured.

    Raises:
        ConfigError: there is no such score, or one is named twice.
    """
    if names:
        check_names(KEY, names)
    return [known_name(KEY, name, ["politeness", "length"]) for name in names]


def parts_of(names: Sequence[str], levels: Sequence[float], longest: int) -> dict[str, Part]:
    """The scores by name: politeness with `levels`, and the length of at most `longest` words, fewer being better."""
    length = Scale("length", 0.0, float(longest), lower_is_better=True)
    known = {
        "politeness": Part(Scale("politeness", 0.0, 1.0), levels=levels, sentences=PHRASES),
        "length": Part(length, templates=LENGTHS),
    }
    return {name: known[name] for name in names}


def scores_of(names: Sequence[str], politeness: Floats, completions: Sequence[str]) -> dict[str, Floats]:
    """The scores of each completion by name, `(completions,)` each."""
    known = {"politeness": politeness}
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
