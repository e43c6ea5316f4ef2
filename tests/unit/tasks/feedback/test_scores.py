"""Files with several scores per row: their columns, scales, unknown scores and faults."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.data.records import FeedbackRows, Prompt, read_feedback, write_table
from gcsl_cli.data.splits import SplitConfig
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.scorers.base import Scorer
from gcsl_cli.scorers.contains import ContainsScorer
from gcsl_cli.scorers.length import LengthScorer
from gcsl_cli.scorers.weighted import WeightedScorer
from gcsl_cli.tasks.feedback.columns import ColumnsConfig
from gcsl_cli.tasks.feedback.task import FeedbackTask

ROWS = [
    {"prompt": "Hi", "response": "Hello!", "helpfulness": 4, "correctness": 3, "verbosity": 1},
    {"prompt": "Bye", "response": "See you.", "helpfulness": 2, "correctness": 3, "verbosity": None},
    {"prompt": "Why?", "response": "Because.", "helpfulness": 0, "correctness": 3, "verbosity": 3},
]
"""Like HelpSteer2: several columns of grades from 0 to 4."""


def task(path: Path, rows: list[dict[str, Any]], scores: Any, **settings: Any) -> FeedbackTask:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    columns = ColumnsConfig(scores=scores, **settings.pop("columns", {}))
    return FeedbackTask(path=str(path), columns=columns, split=SplitConfig(0.0, 0.0), **settings)


def graded(path: Path, rows: list[dict[str, Any]], scores: Any, **settings: Any) -> FeedbackRows:
    return task(path, rows, scores, **settings).graded_rows(lambda *_: [], None)


def test_rows_have_scores_by_name_and_their_mean(tmp_path: Path) -> None:
    """On 0 to 4 and 1 to 3: (1 + 0) / 2, 0.5 alone, (0 + 1) / 2."""
    rows = graded(tmp_path / "a.jsonl", ROWS, ["helpfulness", "verbosity"])

    assert rows.score_names == ("helpfulness", "verbosity")
    assert rows.scores.tolist() == [0.5, 0.5, 0.5]
    assert [row.scores for row in rows] == [
        {"helpfulness": 4.0, "verbosity": 1.0},
        {"helpfulness": 2.0},
        {"helpfulness": 0.0, "verbosity": 3.0},
    ]
    assert rows[1].scores == {"helpfulness": 2.0}


def test_a_mapping_gives_names_columns_directions_and_weights(tmp_path: Path) -> None:
    """Helpfulness on 0 to 4 weighs 3, brevity on 0 to 4 with less being better 1: (3 * 1 + 0.75) / 4 = 0.9375."""
    scores = {
        "helpful": {"column": "helpfulness", "scale": [0, 4], "weight": 3},
        "brief": {"column": "verbosity", "direction": "lower", "scale": [0, 4]},
    }
    made = task(tmp_path / "a.jsonl", ROWS, scores)
    rows = made.graded_rows(lambda *_: [], None)

    assert rows.part("brief").tolist()[::2] == [-1.0, -3.0]
    assert rows.scores[0] == 0.9375
    parts = made.parts(rows)
    assert parts["brief"].scale.lower_is_better
    assert (parts["brief"].scale.name, parts["brief"].scale.low, parts["brief"].scale.high) == ("brief", 0, 4)


def test_scores_survive_the_file(tmp_path: Path) -> None:
    rows = graded(tmp_path / "a.jsonl", ROWS, ["helpfulness", "verbosity"])
    write_table(tmp_path / "feedback.parquet", rows.table)
    read = read_feedback(tmp_path / "feedback.parquet")

    assert read.score_names == rows.score_names
    np.testing.assert_array_equal(read.part("verbosity"), [1.0, np.nan, 3.0])
    assert read.graded_by("verbosity").scores.tolist() == [1.0, 3.0]
    assert list(read.take(np.array([2, 0]))) == [rows[2], rows[0]]


def test_several_completions_per_row_have_their_scores(tmp_path: Path) -> None:
    row = {"prompt": "Hi", "completions": [{"text": "a", "good": 1, "long": 2}, {"text": "b", "good": 3, "long": 4}]}
    rows = graded(
        tmp_path / "a.jsonl",
        [row],
        ["completions.good", "completions.long"],
        columns={"completion": "completions.text"},
    )

    assert [(row.completion, row.scores) for row in rows] == [
        ("a", {"good": 1.0, "long": 2.0}),
        ("b", {"good": 3.0, "long": 4.0}),
    ]


def test_the_overview_counts_what_is_not_graded(tmp_path: Path) -> None:
    made = task(tmp_path / "a.jsonl", ROWS, ["helpfulness", "verbosity"])

    assert ["not graded", "verbosity: 1 rows"] in made.overview()
    assert ["columns", "prompt=prompt, completion=response, score=helpfulness, verbosity"] in made.overview()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"helpfulness": None}, "helpfulness, verbosity are all missing"),
        ({"helpfulness": "great"}, "helpfulness is not a number"),
        ({"helpfulness": [1, 2]}, "helpfulness is not a number"),
        ({"helpfulness": 9}, "grade outside task.columns.scores.scale"),
        ({"response": ""}, "response is empty"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    scores = {"helpfulness": {"scale": [0, 4]}, "verbosity": {}}
    rows = [ROWS[0], ROWS[1] | change]

    with pytest.raises(DataError, match=message) as raised:
        graded(tmp_path / "a.jsonl", rows, scores)
    assert "a.jsonl:2" in str(raised.value)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ("helpfulness", "task.columns.scores=helpfulness: expected a list of columns"),
        ([], "no score is named"),
        (["helpfulness", "helpfulness"], "helpfulness is named twice"),
        ({"a": "verbosity", "b": "verbosity"}, "a, b are one column, verbosity"),
        (["helpfulness", "verbose"], "scores=verbose: a.jsonl has no such column. Did you mean verbosity?"),
        ({"a": {"colunm": "verbosity"}}, "scores.a.colunm: no such setting of a score. Did you mean column?"),
        ({"a": {"direction": "down"}}, "task.columns.scores.a.direction=down: unknown"),
        ({"a": {"scale": [4, 0]}}, "task.columns.scores.a.scale=[4, 0]: expected the lowest and highest grade"),
        ({"a": {"weight": 0}}, "task.columns.scores.a.weight=0: must be a finite number above 0"),
        ({"a": 3}, "task.columns.scores.a=3: expected a column"),
        ([f"s{number}" for number in range(9)], "a goal has at most 8 parts"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used(tmp_path: Path, scores: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        graded(tmp_path / "a.jsonl", ROWS, scores)


@pytest.mark.parametrize("settings", [{"columns": {"score": "helpfulness"}}, {"scale": [0, 4]}])
def test_settings_of_one_score_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="the scores have columns and scales of their own"):
        graded(tmp_path / "a.jsonl", ROWS, ["helpfulness"], **settings)


def test_the_identity_names_scores_only_where_there_are_several(tmp_path: Path) -> None:
    one = task(tmp_path / "a.jsonl", ROWS, None).feedback_keys({})
    several = task(tmp_path / "a.jsonl", ROWS, ["helpfulness"]).feedback_keys({})

    assert one["columns"] == {"prompt": None, "completion": None, "score": None}
    assert several["columns"]["scores"] == ["helpfulness"]


def test_new_completions_are_graded_in_each_score_by_the_parts_of_a_scorer(tmp_path: Path) -> None:
    """Fewer words are better in the file, so two of them are the score -2, whatever the scorer prefers."""
    scores = {"helpfulness": {}, "verbosity": {"direction": "lower"}}
    parts = {"helpfulness": ContainsScorer(words=["please"]), "verbosity": LengthScorer()}
    made = task(tmp_path / "a.jsonl", ROWS, scores, scorer=WeightedScorer(parts=parts))
    found = made.part_scores([Prompt("1", "Hi", "test")], ["Yes, please!"])

    assert made.graded_scores() == ["helpfulness", "verbosity"]
    assert {name: values.tolist() for name, values in found.items()} == {"helpfulness": [1.0], "verbosity": [-2.0]}


@pytest.mark.parametrize("scorer", [None, LengthScorer(), WeightedScorer(parts={"verbosity": LengthScorer()})])
def test_a_scorer_that_lacks_a_score_grades_none(tmp_path: Path, scorer: Scorer | None) -> None:
    assert task(tmp_path / "a.jsonl", ROWS, ["helpfulness", "verbosity"], scorer=scorer).graded_scores() == []
