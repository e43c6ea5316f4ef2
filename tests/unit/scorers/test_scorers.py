"""The scorers that need no model, on texts with an undisputed order."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gcsl_cli.configs import load
from gcsl_cli.configs.search_path import conf_dir
from gcsl_cli.data.arrays import Floats
from gcsl_cli.errors import ConfigError
from gcsl_cli.scorers.base import Example, Scorer
from gcsl_cli.scorers.contains import ContainsScorer
from gcsl_cli.scorers.length import LengthScorer
from gcsl_cli.scorers.profanity import ProfanityScorer
from gcsl_cli.scorers.reference import ExactMatchScorer, SimilarityScorer
from gcsl_cli.scorers.weighted import WeightedScorer
from gcsl_cli.scorers.wordlist import WordListScorer

KIND = ["Thank you, that was very kind of you.", "We walked along the river and talked about the weather."]
RUDE = ["You stupid fucking idiot, go to hell.", "What a piece of shit."]
OPTIONS = sorted(path.stem for path in (conf_dir() / "scorer").glob("*.yaml"))
MANDATORY = {
    "perplexity": ["scorer.uri=m"],
    "judge": ["scorer.base_url=http://localhost", "scorer.model=m"],
    "python": ["scorer.function=a.py:b", "allow_custom_code=true"],
    "reward_model": ["scorer.uri=m"],
}


def completed(*completions: str, reference: str | None = None) -> list[Example]:
    return [Example("Hi", text, reference) for text in completions]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_scorer_is_handed_to_the_task(option: str) -> None:
    config = load(["task=feedback", "task.path=x.jsonl", f"scorer={option}", *MANDATORY.get(option, [])])

    assert config.task.scorer is config.scorer
    assert isinstance(config.scorer, Scorer)


def test_the_second_scorer_is_of_the_same_group() -> None:
    config = load(["scorer@second_scorer=contains", "second_scorer.words=[bad]"])

    assert config.task.second_scorer == ContainsScorer(words=["bad"])
    assert isinstance(config.task.scorer, ProfanityScorer)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["task=code", "scorer=length"], "scorer with task=code, which has no scorer to choose. Leave it out."),
        (["scorer=lenght"], "Did you mean length?"),
        (["scorer=length", "scorer.units=words"], "scorer.units: no such key. Did you mean scorer.unit?"),
        (["scorer@third=length"], "the package of a group is fixed"),
        (["scorer=python", "scorer.function=a.py:b"], "this runs code from outside gcsl"),
    ],
)
def test_a_wrong_choice_is_explained(lines: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(lines)
    assert said in str(error.value)


def test_profanity_is_a_probability_that_is_higher_for_rude_texts() -> None:
    kind, rude = ProfanityScorer()(completed(*KIND)), ProfanityScorer()(completed(*RUDE))

    assert ((kind >= 0) & (kind < 0.2)).all()
    assert ((rude > 0.8) & (rude <= 1)).all()


def test_a_text_with_a_listed_word_is_one() -> None:
    assert WordListScorer()(completed(*KIND, *RUDE)).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "scorer",
    [
        ProfanityScorer(),
        WordListScorer(),
        ContainsScorer(words=["x"]),
        LengthScorer(),
        ExactMatchScorer(),
        SimilarityScorer(),
    ],
    ids=lambda scorer: str(scorer.name),
)
def test_scorers_take_any_text(scorer: Scorer) -> None:
    """No texts, empty text, other scripts: one number per text, independent of the rest of the batch."""
    odd = completed("", " \n", "中文 😀", "x" * 10_000, reference="x")

    assert scorer([]).shape == (0,)
    assert scorer(odd).tolist() == pytest.approx([float(scorer([one])[0]) for one in odd])


@pytest.mark.parametrize(
    ("scorer", "grades"),
    [
        (ContainsScorer(words=["Thank you", "art"]), [0.5, 0.5, 1.0, 0.0]),
        (ContainsScorer(words=["art"], absent=True), [1.0, 0.0, 0.0, 1.0]),
        (ContainsScorer(regex=r"t\w+ you\b"), [1.0, 0.0, 1.0, 0.0]),
        (LengthScorer(), [2.0, 1.0, 4.0, 1.0]),
        (LengthScorer(target=3), [-1.0, -2.0, -1.0, -2.0]),
        (LengthScorer(unit="characters", target=0), [-9.0, -3.0, -18.0, -8.0]),
    ],
)
def test_grades_of_words_and_lengths(scorer: Scorer, grades: list[float]) -> None:
    """A word counts as a whole: `start` has no `art`."""
    assert scorer(completed("thank you", "Art", "ART, THANK YOU, no", "restarts")).tolist() == grades


def test_grades_by_a_reference() -> None:
    """Two of three and two words are common: 2 * 2 / 5."""
    texts = completed("Big  CAT", "a big cat", "so 4, then 42", reference="big cat")

    assert ExactMatchScorer()(texts).tolist() == [1, 0, 0]
    assert ExactMatchScorer(ignore_case=False)(texts).tolist() == [0, 0, 0]
    assert SimilarityScorer()(texts).tolist() == [1, 0.8, 0]
    answers = completed("so 4, then 42", "42 or 4", "none", reference="#### 42")
    assert ExactMatchScorer(extract=r"\d+")(answers).tolist() == [1, 0, 0]
    assert ExactMatchScorer(extract=r"(\d)\d*")(completed("43", reference="41")).tolist() == [1]


def test_without_a_reference_there_is_no_grade(caplog: pytest.LogCaptureFixture) -> None:
    """Not a 0, but NaN with a reason that is counted."""
    scorer = ExactMatchScorer()
    with caplog.at_level(logging.WARNING, "gcsl"):
        grades = scorer([*completed("a", "b"), *completed("c", reference="c")])

    assert np.isnan(grades).tolist() == [True, True, False]
    assert scorer.ungraded == {"no reference": 2}
    assert "exact_match cannot grade 2 of 3 completions: 2 x no reference" in caplog.text


def test_infinity_is_no_grade() -> None:
    @dataclass
    class Endless(Scorer):
        def grade(self, examples: Sequence[Example]) -> Floats:
            return np.array([math.inf, 1.0])

    assert np.isnan(Endless()(completed("a", "b"))).tolist() == [True, False]


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        (ContainsScorer(), "looks for words or for a pattern"),
        (ContainsScorer(words=["a"], regex="b"), "looks for words or for a pattern"),
        (ContainsScorer(words=[" "]), "looks for words or for a pattern"),
        (ContainsScorer(regex="(a"), r"scorer.regex=(a: not a regular expression (missing )"),
        (LengthScorer(target=-1), "scorer.target=-1: must be a number from 0 to"),
        (LengthScorer(target=10**30), "scorer.target=1000000000000000000000000000000: must be a number from 0 to"),
        (LengthScorer(unit="lines"), "scorer.unit=lines: unknown. Allowed: words, characters."),
        (ExactMatchScorer(extract="[a"), "scorer.extract=[a: not a regular expression"),
    ],
)
def test_unusable_settings_are_explained(scorer: Scorer, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        scorer.check()
    assert said in str(error.value)


def test_a_conversation_is_read_as_messages() -> None:
    example = Example('[{"role": "user", "content": "Hi"}]', "Hello", format="messages")
    with_tools = Example('{"messages": [{"role": "user", "content": "Hi"}], "tools": []}', "Hello", format="messages")

    assert example.messages() == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert with_tools.messages() == example.messages()
    assert example.prompt_text() == "user: Hi"
    assert Example("Hi", "Hello").conversation() == [{"role": "user", "content": "Hi"}]


# Combinations

PARTS: dict[str, dict[str, Any]] = {
    "polite": {"_target_": "gcsl_cli.scorers.contains.ContainsScorer", "words": ["please"]},
    "length": {"_target_": "gcsl_cli.scorers.length.LengthScorer"},
}


def test_parts_are_brought_to_one_scale() -> None:
    """Length 1 and 4 of 0 to 4, shorter is better: 0.75 and 0. Weights 1 and 3: (1 + 2.25) / 4 and 0 / 4."""
    scorer = WeightedScorer(parts=PARTS, weights={"length": -3.0}, ranges={"length": [0.0, 4.0]})
    scorer.check()

    assert scorer(completed("Please!", "a b c d", "a b c d e f g")).tolist() == [0.8125, 0, 0]


def test_a_part_that_grades_something_bad_is_turned() -> None:
    """A listed word is a 1 of its scorer, and the worst of the mean."""
    parts = {"rude": {"_target_": "gcsl_cli.scorers.wordlist.WordListScorer"}}

    assert WeightedScorer(parts=parts)(completed(KIND[0], RUDE[0])).tolist() == [1, 0]
    assert WeightedScorer(parts=parts, weights={"rude": -1.0})(completed(KIND[0], RUDE[0])).tolist() == [0, 1]


def test_more_than_two_numbers_are_quantiles() -> None:
    """1 is the median, so it becomes a half; 3 is half of the way from there to 5."""
    scorer = WeightedScorer(parts={"length": PARTS["length"]}, ranges={"length": [0.0, 1.0, 5.0]})

    assert scorer(completed("a", "a b c")).tolist() == [0.5, 0.75]


def test_what_one_part_cannot_grade_has_no_grade() -> None:
    parts = PARTS | {"right": {"_target_": "gcsl_cli.scorers.reference.ExactMatchScorer"}}
    scorer = WeightedScorer(parts=parts, ranges={"length": [0.0, 4.0]})

    assert scorer.needs_reference
    assert np.isnan(scorer(completed("a"))).all()
    assert scorer.ungraded == {"right has no grade": 1}


def test_the_identity_is_that_of_the_parts() -> None:
    words = {"polite": PARTS["polite"] | {"words": ["thanks"]}}

    assert WeightedScorer(parts=PARTS).keys() != WeightedScorer(parts=PARTS | words).keys()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"parts": {}}, "scorer=weighted combines other scorers"),
        ({"parts": PARTS}, "scorer.ranges.length: missing. length has no lowest and highest grade"),
        ({"parts": PARTS, "ranges": {"length": [4.0, 0.0]}}, "scorer.ranges.length=[4.0, 0.0]: expected two or more"),
        ({"parts": PARTS, "ranges": {"length": "long"}}, "scorer.ranges.length=long: expected two or more"),
        ({"parts": PARTS, "ranges": {"length": [0, "a"]}}, "scorer.ranges.length=[0, 'a']: expected two or more"),
        ({"parts": PARTS, "weights": {"polite": 0.0}}, "scorer.weights.polite=0.0: must be a number other than 0."),
        ({"parts": PARTS, "weights": {"polit": 1.0}}, "scorer.weights.polit: no such part. Did you mean polite?"),
        ({"parts": {"a": {"words": ["b"]}}}, "scorer.parts.a: expected the config of a scorer, with its _target_."),
        ({"parts": {"a": PARTS["polite"] | {"word": []}}}, "scorer.parts.a: Key 'word' not in 'ContainsScorer'"),
        ({"parts": {"a": {"_target_": "gcsl_cli.tasks.base.Task"}}}, "does not derive from gcsl_cli.scorers.base"),
    ],
)
def test_an_unusable_combination_is_explained(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        WeightedScorer(**settings).check()
    assert said in str(error.value)


def test_a_part_may_not_bring_its_own_code() -> None:
    part = "+scorer.parts.mine={_target_: gcsl_cli.scorers.python.PythonScorer, function: a.py:b}"
    with pytest.raises(ConfigError, match=r"scorer\.parts\.mine\._target_=.*this runs code from outside gcsl"):
        load(["scorer=weighted", part])
