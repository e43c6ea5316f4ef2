"""The recommendation task on a small log: split by time, candidates, metrics, baselines."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.data.records import FeedbackRows, Prompt
from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.recommendation.rating_log import RatingColumns
from gcsl_cli.tasks.recommendation.task import RecommendationTask

TITLES = [f"Movie {number}" for number in range(30)]


def ratings(folder: Path, users: int = 6, each: int = 12) -> Path:
    """User u rates the items u, u + 1, ... in that order, with 1 to 5 stars in turn."""
    rows = [
        f"{user},{TITLES[(user + place) % 30]},{TITLES[(user + place) % 30]},{place % 5 + 1},{place}"
        for user in range(users)
        for place in range(each)
    ]
    path = folder / "ratings.csv"
    path.write_text("\n".join(["user_id,item_id,title,rating,timestamp", *rows]) + "\n", encoding="utf-8")
    return path


def task(folder: Path, **settings: Any) -> RecommendationTask:
    values: dict[str, Any] = {"heading": "Rated:", "history": 3, "test_items": 2, "negatives": 5}
    return RecommendationTask(ratings=str(ratings(folder)), columns=RatingColumns(title="title"), **values | settings)


def graded(made: RecommendationTask) -> FeedbackRows:
    return made.graded_rows(lambda *_: [], None)


def groups(rows: FeedbackRows) -> dict[str, list[str]]:
    """Completions by prompt."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.prompt_id, []).append(row.completion)
    return found


def test_nothing_leaks_from_the_future(tmp_path: Path) -> None:
    """Of each user's twelve ratings, the last two are for testing and the one before for validation.

    Every history ends before the rating that it is to predict.
    """
    rows = graded(task(tmp_path))
    order = {title: index for index, title in enumerate(TITLES)}
    for row in rows:
        lines = row.prompt.split("\n")[1:]
        history = [order[line.rpartition(": ")[0]] for line in lines]
        latest, target = history[-1], order[row.completion.strip()]
        assert history == list(range(latest - len(history) + 1, latest + 1))
        assert len(history) <= 3
        assert latest < target
    by_split = {split: rows.of_split(split) for split in ("train", "validation", "test")}
    assert {split: len(part) for split, part in by_split.items()} == {"train": 6 * 8, "validation": 6, "test": 12}
    assert by_split["train"].prompts.tolist() == np.repeat(np.arange(6 * 2), [5, 3] * 6).tolist()


def test_training_ratings_share_histories(tmp_path: Path) -> None:
    """The first of nine ratings is only history. Of the others, two at a time share a history, or each has its own."""
    shared, alone = (graded(task(tmp_path, ahead=ahead, rows=None)).of_split("train")[:8] for ahead in (2, 1))

    assert [(row.prompt, row.completion) for row in shared][:4] == [
        ("Rated:\nMovie 0: 1", "\nMovie 1"),
        ("Rated:\nMovie 0: 1", "\nMovie 2"),
        ("Rated:\nMovie 0: 1\nMovie 1: 2\nMovie 2: 3", "\nMovie 3"),
        ("Rated:\nMovie 0: 1\nMovie 1: 2\nMovie 2: 3", "\nMovie 4"),
    ]
    assert [(row.prompt, row.completion, row.score) for row in alone][:3] == [
        ("Rated:\nMovie 0: 1", "\nMovie 1", 2.0),
        ("Rated:\nMovie 0: 1\nMovie 1: 2", "\nMovie 2", 3.0),
        ("Rated:\nMovie 0: 1\nMovie 1: 2\nMovie 2: 3", "\nMovie 3", 4.0),
    ]
    assert [row.completion for row in shared] == [row.completion for row in alone]


def test_rows_are_drawn_by_whole_histories(tmp_path: Path) -> None:
    """18 of 48 rows, in groups of five and three: at most one group is split."""
    every, some = (graded(task(tmp_path, rows=rows)).of_split("train") for rows in (None, 18))

    assert len(some) == 18
    sizes = {id_: len(found) for id_, found in groups(every).items()}
    assert sum(len(found) < sizes[id_] for id_, found in groups(some).items()) <= 1
    assert all(set(found) <= set(groups(every)[id_]) for id_, found in groups(some).items())


def test_held_out_ratings_do_not_affect_training(tmp_path: Path) -> None:
    """Changing held-out ratings changes neither training rows nor test histories nor baselines."""
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one, other = task(tmp_path / "one"), task(tmp_path / "other")
    path = Path(other.ratings)
    lines = path.read_text(encoding="utf-8").splitlines()
    changed = [
        f"{line.rsplit(',', 2)[0]},1,{line.rsplit(',', 1)[1]}" if line.endswith((",10", ",11")) else line
        for line in lines
    ]
    assert changed != lines
    path.write_text("\n".join(changed) + "\n", encoding="utf-8")
    before, after = graded(one), graded(other)
    assert before.of_split("train").table == after.of_split("train").table
    assert before.of_split("test").table["prompt"] == after.of_split("test").table["prompt"]
    prompts = one.evaluation_prompts(before)
    hits = [made.references(prompts)["popularity"].metrics["hr_10"].numerator.tolist() for made in (one, other)]
    assert hits[0] == hits[1]


def test_validation_users_are_no_test_users_and_are_ranked_by_the_same_protocol(tmp_path: Path) -> None:
    made = task(tmp_path, test_users=2)
    rows = graded(made)
    tests, others = made.evaluation_prompts(rows), made.evaluation_prompts(rows, "validation")

    assert [len(tests), len(others)] == [2, 2]
    assert {prompt.split for prompt in others} == {"validation"}
    everyone = {prompt.prompt_id: prompt for prompt in made_of_all(tmp_path)}
    assert not {prompt.prompt_id for prompt in others} & {prompt.prompt_id for prompt in tests}
    assert [prompt.text for prompt in others] == [everyone[prompt.prompt_id].text for prompt in others]
    assert all(len(texts) == 2 + 5 for texts in made.candidates(others))
    trained = {(row.prompt, row.completion) for row in rows}
    assert (
        not {
            (prompt.text, text)
            for prompt, texts in zip(others, made.candidates(others), strict=True)
            for text in texts[:2]
        }
        & trained
    )


def made_of_all(folder: Path) -> list[Prompt]:
    made = task(folder)
    return made.evaluation_prompts(graded(made))


def test_without_other_users_there_is_nothing_to_validate_on(tmp_path: Path) -> None:
    made = task(tmp_path)

    with pytest.raises(ConfigError, match=r"users who are no test users, but all 6 are \(task\.test_users=1000\)"):
        made.evaluation_prompts(graded(made), "validation")


def test_candidates_are_held_out_titles_and_titles_never_rated(tmp_path: Path) -> None:
    made = task(tmp_path)
    prompts = made.evaluation_prompts(graded(made))
    assert len(prompts) == 6
    catalogue = {TITLES[place] for place in range(17)}
    for prompt, candidates in zip(prompts, made.candidates(prompts), strict=True):
        last = int(prompt.text.rpartition("Movie ")[2].partition(":")[0])
        rated = {TITLES[place] for place in range(last - 9, last + 3)}
        assert candidates[:2] == [f"\nMovie {last + 1}", f"\nMovie {last + 2}"]
        negatives = {text.strip() for text in candidates[2:]}
        assert len(negatives) == min(5, len(catalogue - rated)) == len(candidates) - 2
        assert negatives <= catalogue - rated
    assert made.candidates(prompts) == task(tmp_path).candidates(prompts), "drawn from the seed"
    every = replace(made, negatives=None).candidates(prompts)
    assert {len(texts) for texts in every} == {2 + len(catalogue) - 12}, "twelve are rated, two of them held out"


def test_ranking_metrics(tmp_path: Path) -> None:
    """One user with five negatives and held-out ratings of 1 and 2 stars (10 % 5 + 1 and 11 % 5 + 1).

    The first held-out item is ranked first, the second one below two negatives: HR@1 is 1/2, MRR (1 + 1/3) / 2. Ranked
    per token, the first one drops to the end, because it has a tenth of a token.
    """
    made = task(tmp_path, liked=2.0)
    prompts = made.evaluation_prompts(graded(made))[:1]
    scores = np.array([-1.0, -4.0, -2.0, -3.0, -5.0, -6.0, -7.0])
    tokens = np.array([0.1, 1, 1, 1, 1, 1, 1])
    found = made.measured(prompts, [scores], [tokens])

    def value(name: str) -> float:
        metric = found.metrics[name]
        return float(metric.numerator[0] / metric.denominator[0])

    assert (value("hr_1"), value("hr_5")) == (0.5, 1.0)
    assert value("mrr") == pytest.approx((1 + 1 / 3) / 2)
    assert value("hr_10_liked") == 1.0
    assert found.metrics["hr_10_liked"].denominator.tolist() == [1.0], "only one of the two was liked"
    assert value("top_rating") == 1.0
    assert found.scores is not None
    assert found.scores.tolist() == [[1.0]]
    assert value("mrr_per_token") == pytest.approx((1 / 6 + 1 / 3) / 2)
    assert {column.name for column in made.ranking_columns()} == set(found.metrics)


def test_baselines_use_training_ratings(tmp_path: Path) -> None:
    """Random ranking hits at chance, one in six; popularity is the number of training ratings."""
    pytest.importorskip("implicit")
    made = task(tmp_path)
    prompts = made.evaluation_prompts(graded(made))
    found = made.references(prompts)
    assert list(found) == ["random", "popularity", "item-kNN"]
    assert found["random"].metrics["hr_1"].numerator.tolist() == pytest.approx([1 / 6] * 6)
    assert found["item-kNN"].metrics["hr_5"].numerator.mean() > found["random"].metrics["hr_5"].numerator.mean()


def test_sampled_titles_are_matched_to_the_catalogue(tmp_path: Path) -> None:
    made = task(tmp_path)
    prompt = made.evaluation_prompts(graded(made))[0]
    last = int(prompt.text.rpartition("Movie ")[2].partition(":")[0])
    samples = [f"\nMOVIE  {last + 1}", f" Movie {last}\n", "\nMovie 99", f"\nMovie {last + 2}"]
    found = made.metrics([prompt], [samples])
    assert {name: metric.numerator.tolist() for name, metric in found.items()} == {
        "valid_titles": [3.0],
        "sampled_hit": [2.0],
        "sampled_seen": [1.0],
    }
    assert [column.name for column in made.result_columns()] == list(found)


def test_rows_and_users_can_be_limited(tmp_path: Path) -> None:
    made = task(tmp_path, rows=10, test_users=2)
    rows = graded(made)
    assert {split: len(rows.of_split(split)) for split in ("train", "validation", "test")} == {
        "train": 10,
        "validation": 2,
        "test": 4,
    }
    assert len(made.evaluation_prompts(rows)) == 2


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"scale": [5.0, 1.0]}, "expected the lowest and highest rating"),
        ({"history": 0}, "task.history=0: must be at least 1"),
        ({"negatives": 0}, "task.negatives=0"),
        ({"test_items": 0}, "task.test_items=0: must be at least 1"),
        ({"items": "items.csv"}, "Set exactly one of them"),
    ],
)
def test_invalid_settings_are_refused(tmp_path: Path, settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        task(tmp_path, **settings).rollouts_planned()


def test_the_scale_is_closed(tmp_path: Path) -> None:
    made = task(tmp_path)
    assert made.grade_scale(graded(made)).closed
    assert made.overview()[0] == ["ratings", "72 by 6 users, 17 titles"]
    assert [Prompt(p.prompt_id, p.text, p.split) for p in made.evaluation_prompts(graded(made))]


def test_rating_and_novelty_are_two_scores(tmp_path: Path) -> None:
    """User u trains on the items u + 1 to u + 8, so five of six have rated item 5, and one item 13.

    The mean of the first row, item 1 of user 0 with 2 of 5 stars, which no other user has: (1/4 + 5/6) / 2.
    """
    made = task(tmp_path, scores=["rating", "novelty"])
    rows = graded(made)
    novelty = {row.completion.strip(): row.scores["novelty"] for row in rows}

    assert novelty["Movie 5"] == pytest.approx(1 / 6)
    assert novelty["Movie 13"] == pytest.approx(5 / 6)
    first = next(row for row in rows if row.split == "train" and row.completion.strip() == "Movie 1")
    assert first.scores == {"rating": 2.0, "novelty": pytest.approx(5 / 6)}
    assert first.score == pytest.approx((0.25 + 5 / 6) / 2)
    assert made.grade_scale(rows).name == "mean of the scores"
    assert made.feedback_keys({}) != task(tmp_path).feedback_keys({})


def test_the_novelty_of_the_first_ten_is_a_metric_of_rankings(tmp_path: Path) -> None:
    """Seven candidates each, so all of them count, whatever their scores."""
    made = task(tmp_path, scores=["rating", "novelty"])
    prompts = made.evaluation_prompts(graded(made))
    likely = [np.arange(len(texts), dtype=np.float64) for texts in made.candidates(prompts)]
    metrics = made.measured(prompts, likely, [np.ones(len(scores)) for scores in likely]).metrics
    novelty = dict.fromkeys(TITLES, 1.0) | {row.completion.strip(): row.scores["novelty"] for row in graded(made)}
    expected = [np.mean([novelty[text.strip()] for text in texts]) for texts in made.candidates(prompts)]

    assert metrics["novelty_10"].numerator.tolist() == pytest.approx(expected)
    assert any(column.name == "novelty_10" for column in made.ranking_columns())
    assert not any(column.name == "novelty_10" for column in task(tmp_path).ranking_columns())


def test_an_unknown_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"task.scores: there is no score 'novel'. Did you mean novelty\?"):
        task(tmp_path, scores=["rating", "novel"]).score_names()
