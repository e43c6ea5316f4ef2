"""TALLRec's protocol, rebuilt row for row, and its AUC from likelihoods."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from sklearn.metrics import roc_auc_score

from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.tasks.recommendation.tallrec import NO, YES, Sequence10, TallrecTask


@pytest.fixture(scope="module")
def task() -> TallrecTask:
    """The task as configured in its YAML; the ratings come from the package index."""
    values = OmegaConf.to_container(OmegaConf.load(Path(__file__).parents[4] / "conf/task/tallrec.yaml"))
    assert isinstance(values, dict)
    del values["_target_"]
    return TallrecTask(**{str(key): value for key, value in values.items()})


def titled(task: TallrecTask) -> TallrecTask:
    return TallrecTask(ratings=task.ratings, items=task.items, sha256=task.sha256, titles=task.titles, answer="title")


def test_splits_match_the_protocol(task: TallrecTask) -> None:
    """8,000, 1,000 and 1,000 sequences; 528 likes in the test split, as counted with the published preprocessing."""
    assert task.overview() == [
        ["train", "8000 sequences, 4457 likes"],
        ["validation", "1000 sequences, 658 likes"],
        ["test", "1000 sequences, 528 likes"],
    ]


def test_direct_rows_are_right_and_wrong_answers(task: TallrecTask) -> None:
    rows = task.graded_rows(lambda *_: [], None)
    assert len(rows.of_split("train")) == 16_000
    assert len(rows.of_split("validation")) == 2_000
    yes, no = rows[0], rows[1]
    assert (yes.completion, no.completion, yes.score + no.score) == (YES, NO, 1.0)
    assert yes.prompt == no.prompt
    assert yes.prompt.startswith("Given the user's preference and unpreference, identify whether the user will like")
    assert yes.prompt.count("(19") == 11
    likes = sum(row.score for row in rows.of_split("train") if row.completion == YES)
    assert likes == 4457


def test_title_rows_are_graded_by_whether_the_title_was_liked(task: TallrecTask) -> None:
    made = titled(task)
    rows = made.graded_rows(lambda *_: [], None)
    assert (len(rows.of_split("train")), sum(rows.of_split("train").scores)) == (8_000, 4457)
    assert made.sentences != task.sentences
    prompts = made.evaluation_prompts(rows)
    assert len(prompts) == 1000
    assert [len(texts) for texts in made.candidates(prompts[:2])] == [1, 1]
    assert prompts[0].text.startswith("User Preference: ")


def test_a_history_without_likes() -> None:
    sequence = Sequence10(("A", "B"), (False, False), "C", target_liked=True)
    assert sequence.preferences == 'User Preference: None\nUser Unpreference: "A", "B"'
    assert sequence.question.endswith('Whether the user will like the target movie "C"?')


def test_auc_is_computed_from_likelihoods(task: TallrecTask) -> None:
    """Compared with scikit-learn's AUC of log p(Yes) - log p(No), with and without the history's odds as the prior."""
    prompts = task.evaluation_prompts(task.graded_rows(lambda *_: [], None))
    assert task.candidates(prompts[:1]) == [[YES, NO]]
    generator = np.random.default_rng(0)
    pairs = [generator.normal(size=2) for _ in prompts]
    found = task.measured(prompts, pairs, pairs).metrics
    assert list(found) == [column.name for column in task.ranking_columns()]
    liked = np.array([sequence.target_liked for sequence in task._splits["test"]])
    values = np.array([yes - no for yes, no in pairs])
    likes = np.array([sum(sequence.liked) for sequence in task._splits["test"]])
    prior = np.log((likes + 1) / (11 - likes))
    assert found["auc"].numerator.mean() == pytest.approx(roc_auc_score(liked, values))
    assert found["auc_with_prior"].numerator.mean() == pytest.approx(roc_auc_score(liked, values + prior))
    history = task.references(prompts)["likes in the history"].metrics["auc"].numerator.mean()
    assert history == pytest.approx(roc_auc_score(liked, likes))


def test_settings_can_be_chosen_on_the_validation_sequences(task: TallrecTask) -> None:
    rows = task.graded_rows(lambda *_: [], None)
    prompts = task.evaluation_prompts(rows, "validation")

    assert len(prompts) == 1_000
    assert {prompt.prompt_id for prompt in prompts} == {row.prompt_id for row in rows.of_split("validation")}
    assert {(row.prompt_id, row.prompt) for row in rows.of_split("validation")} == {
        (prompt.prompt_id, prompt.text) for prompt in prompts
    }
    right = [
        np.array([1.0, 0.0]) if sequence.target_liked else np.array([0.0, 1.0])
        for sequence in task._splits["validation"]
    ]
    assert task.measured(prompts, right, right).metrics["auc"].numerator.mean() == 1


def test_unknown_answers_and_too_few_ratings_are_refused(task: TallrecTask, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"task\.answer=titel: unknown\. Allowed: direct, title"):
        TallrecTask(answer="titel").rollouts_planned()
    monkeypatch.setattr("gcsl_cli.tasks.recommendation.tallrec.SEQUENCES", 100_000)
    with pytest.raises(DataError, match="90570 sequences"):
        titled(task).overview()
