"""Politeness and length of continuations."""

import re
from collections.abc import Sequence

import numpy as np
import pytest

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.records import FeedbackRows, Generation, Prompt
from gcsl_cli.errors import ConfigError
from gcsl_cli.scorers.base import Example, Scorer
from gcsl_cli.tasks import continuation_scores as several
from gcsl_cli.tasks.toxicity import ToxicityTask

PROMPT = Prompt("id", "You are", "train")


def test_words_are_counted() -> None:
    texts = ["", " one", "two words\n", "a b  c"]

    assert several.scores_of(["length"], np.zeros(4), texts)["length"].tolist() == [0, -1, -2, -3]


def test_new_completions_are_graded_in_all_scores() -> None:
    """Two words of at most 20 are 0.9 of the way to none."""
    task = ToxicityTask(prompts_uri="", scores=["politeness", "length"])
    alone = ToxicityTask(prompts_uri="").score([PROMPT], [" very kind"])
    found = task.part_scores([PROMPT], [" very kind"])

    assert found["politeness"] == alone
    assert found["length"].tolist() == [-2.0]
    np.testing.assert_allclose(task.score([PROMPT], [" very kind"]), (alone + 0.9) / 2)


def test_scores_have_scales_and_words() -> None:
    task = ToxicityTask(prompts_uri="", scores=["length", "politeness"], levels=[0.5])
    parts = task.parts(FeedbackRows.of([]))

    assert list(parts) == task.score_names() == ["length", "politeness"]
    assert parts["length"].scale.lower_is_better
    assert parts["politeness"].levels == [0.5]
    assert len(set(parts["politeness"].sentences)) == len(several.PHRASES)
    assert task.goal_frame().count("{parts}") == 1


class Surprised(Scorer):
    """A log-perplexity of 2 for each word, and none without words."""

    def grade(self, examples: Sequence[Example]) -> Floats:
        return np.array([np.exp(2.0 * len(example.completion.split())) for example in examples])


def test_fluency_is_the_log_perplexity_of_at_most_7() -> None:
    """Of two words 4, which is 3/7 of the way to the best, and two of twenty words are 0.9."""
    task = ToxicityTask(prompts_uri="", scores=["length", "fluency"], fluency=Surprised())
    texts = [" very kind", " word" * 11]
    found = task.part_scores([PROMPT] * 2, texts)

    np.testing.assert_allclose(found["fluency"], [-4.0, -7.0])
    np.testing.assert_allclose(task.score([PROMPT] * 2, texts), [(0.9 + 3 / 7) / 2, 0.45 / 2])
    assert "fluency" not in ToxicityTask(prompts_uri="pypi://a", scores=["length"], fluency=Surprised()).feedback_keys(
        {}
    )


def test_scores_have_weights_in_the_mean() -> None:
    task = ToxicityTask(prompts_uri="", scores=["politeness", "length"], scores_weights={"length": 3.0})
    alone = ToxicityTask(prompts_uri="").score([PROMPT], [" very kind"])

    np.testing.assert_allclose(task.score([PROMPT], [" very kind"]), (alone + 3 * 0.9) / 4)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"lenght": 1.0}, "task.scores_weights: there is no score 'lenght'. Did you mean length?"),
        ({"length": 0.0}, "task.scores_weights.length=0.0: must be a finite number above 0"),
    ],
)
def test_weights_that_cannot_be_used(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        ToxicityTask(prompts_uri="", scores=["length"], scores_weights=weights).parts(FeedbackRows.of([]))


def test_the_mean_has_a_scale_of_its_own() -> None:
    rows = FeedbackRows.of([])

    assert ToxicityTask(prompts_uri="", scores=["length"]).grade_scale(rows).name == "mean of the scores"
    assert ToxicityTask(prompts_uri="").grade_scale(rows).name == "politeness"


@pytest.mark.parametrize(
    ("scores", "message"),
    [(["lenght"], "task.scores: there is no score 'lenght'. Did you mean length?"), (["length"] * 2, "named twice")],
)
def test_unknown_scores_are_refused(scores: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        ToxicityTask(prompts_uri="", scores=scores).score_names()


def test_the_identity_names_scores_only_where_there_are_several() -> None:
    one, two = (
        ToxicityTask(prompts_uri="pypi://a"),
        ToxicityTask(prompts_uri="pypi://a", scores=["politeness", "length"]),
    )

    assert "scores" not in one.feedback_keys({}) | one.evaluation_keys()
    assert "cut" not in one.feedback_keys({})["feedback"]
    assert two.feedback_keys({})["scores"] == two.evaluation_keys()["scores"] == ["politeness", "length"]


def test_completions_that_the_limit_cut_off_end_after_a_drawn_number_of_words() -> None:
    """400 drawn lengths from 1 to 4: 100 each; five standard deviations are 43."""
    rows = [Generation("id", "p", 0, " one  two three four", 9, finished=False)] * 400
    made = list(several.cut([*rows, Generation("id", "p", 0, " all of it", 4, finished=True)], seed=0))
    counts = np.bincount([len(row.completion.split()) for row in made[:-1]], minlength=5)

    assert made[-1].completion == " all of it"
    assert all(row.finished for row in made)
    assert {row.completion for row in made[:-1]} == {" one", " one  two", " one  two three", " one  two three four"}
    assert (abs(counts[1:] - 100) < 43).all()
    assert made == list(several.cut([*rows, made[-1]], seed=0))
