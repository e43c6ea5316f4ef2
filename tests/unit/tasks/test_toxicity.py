"""The toxicity task: prompts, graded rows from every source, and errors for broken files."""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.records import FeedbackRow, FeedbackRows, Generation, Prompt
from gcsl_cli.data.splits import SplitConfig, prompt_id, split_prompts
from gcsl_cli.errors import ArtifactError, ConfigError, DataError
from gcsl_cli.goals.levels import make_levels
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.length import LengthScorer
from gcsl_cli.scorers.profanity import ProfanityScorer
from gcsl_cli.scorers.wordlist import WordListScorer
from gcsl_cli.tasks.base import RolloutSettings
from gcsl_cli.tasks.toxicity import FeedbackConfig, ToxicityTask

BROKEN_LINE = 7


@dataclass
class Crude(ProfanityScorer):
    """Toxicity is the share of words that are `bad`."""

    name: str = "crude"

    def grade(self, examples: Sequence[Example]) -> Floats:
        words = [example.completion.split() for example in examples]
        return np.array([one.count("bad") / max(1, len(one)) for one in words])


@dataclass
class Listed(WordListScorer):
    """1 if the text contains `bad`."""

    def grade(self, examples: Sequence[Example]) -> Floats:
        return np.array([float("bad" in example.completion) for example in examples])


@pytest.fixture
def task(tmp_path: Path) -> ToxicityTask:
    """Forty prompts in two files with blank lines between them."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    lines = [f"prompt {number}" for number in range(40)]
    (folder / "b.txt").write_text("\n".join(lines[20:]), encoding="utf-8")
    (folder / "a.txt").write_text("\n\n".join(lines[:20]) + "\n \n", encoding="utf-8")
    (folder / "readme.md").write_text("no prompt", encoding="utf-8")
    return ToxicityTask(prompts_uri=str(folder), scorer=Crude(), second_scorer=Listed(), split=SplitConfig(minimum=4))


def with_feedback(task: ToxicityTask, **config: Any) -> ToxicityTask:
    return replace(task, feedback=FeedbackConfig(**config))


def no_rollouts(prompts: Sequence[Prompt], settings: RolloutSettings) -> list[Generation]:
    raise AssertionError("given feedback is not sampled")


def rtp_row(number: int, toxicity: Any = 0.25) -> dict[str, Any]:
    return {
        "prompt": {"text": f"A prompt {number}", "toxicity": 0.1},
        "continuation": {"text": f" and more {number}.", "toxicity": toxicity},
    }


def rtp_file(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# Prompts


def test_prompts_are_the_lines_of_all_text_files(task: ToxicityTask) -> None:
    assert {prompt.text for prompt in task.prompts()} == {f"prompt {number}" for number in range(40)}
    assert len(task.prompts()) == 40
    assert {prompt.split for prompt in task.prompts()} == {"train", "validation", "test"}


@pytest.mark.parametrize("split", ["test", "validation"])
def test_evaluation_prompts_are_those_of_a_split(task: ToxicityTask, split: str) -> None:
    prompts = task.evaluation_prompts(FeedbackRows.of([]), split)

    assert prompts == [prompt for prompt in task.prompts() if prompt.split == split]
    assert prompts


def test_prompts_may_be_one_file(task: ToxicityTask) -> None:
    task.prompts_uri += "/a.txt"

    assert len(task.prompts()) == 20


def test_an_empty_prompt_folder_is_refused(task: ToxicityTask, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("\n \n", encoding="utf-8")
    task.prompts_uri = str(tmp_path / "empty")

    with pytest.raises(DataError, match=r"empty: no prompts found\. Expected text files with one prompt per line"):
        task.prompts()


def test_prompts_must_be_utf8(task: ToxicityTask, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("Über".encode("latin-1"))
    task.prompts_uri = str(tmp_path / "latin.txt")

    with pytest.raises(DataError, match=r"latin\.txt: not UTF-8 text \(.* at byte 0\)"):
        task.prompts()


def test_missing_prompts_are_refused(task: ToxicityTask, tmp_path: Path) -> None:
    task.prompts_uri = str(tmp_path / "nowhere")

    with pytest.raises(ArtifactError, match="nowhere: no such file or folder"):
        task.prompts()


# Rollouts


def test_rollouts_use_the_configured_settings_and_are_graded(task: ToxicityTask) -> None:
    """Blank completions are dropped, the score is 1 - the share of `bad` words, and `finished` is kept."""
    config = {"samples": 3, "max_new_tokens": 7, "temperature": 0.5, "top_p": 0.8, "batch_size": 9, "seed": 5}
    task = with_feedback(task, **config, shard_prompts=2)
    asked: list[RolloutSettings] = []

    def rollouts(prompts: Sequence[Prompt], settings: RolloutSettings) -> list[Generation]:
        asked.append(settings)
        completions = [(" bad good bad bad", False), (" \n", True), (" good", True)]
        return [
            Generation(p.prompt_id, p.text, n, text, 4, done)
            for p in prompts
            for n, (text, done) in enumerate(completions)
        ]

    rows = task.graded_rows(rollouts)

    train = [prompt for prompt in task.prompts() if prompt.split != "test"]
    assert asked == [RolloutSettings(3, 7, 0.5, 0.8, 9, 2, 5)]
    assert task.rollouts_planned() == 3 * len(train)
    assert list(rows) == [
        FeedbackRow(prompt.text, text, score, prompt.prompt_id, prompt.split, done, "rollouts")
        for prompt in train
        for text, score, done in [(" bad good bad bad", 0.25, False), (" good", 1.0, True)]
    ]


def test_the_number_of_prompts_can_be_limited(task: ToxicityTask) -> None:
    task = with_feedback(task, prompts=10, samples=2)

    assert task.rollouts_planned() == 20
    assert with_feedback(task, source="rtp", path="hf://datasets/a/b/x.jsonl").rollouts_planned() == 0


# Texts


def test_texts_are_halved_and_their_second_half_is_graded(task: ToxicityTask, tmp_path: Path) -> None:
    """Three of seven words form the prompt. Texts with fewer than six words and duplicates are left out."""
    texts = [f"a{n} b c bad e f bad" for n in range(20)] + ["too few words here now", "a0 b c bad e f bad"]
    path = rtp_file(tmp_path / "texts.jsonl", [{"text": f" {text} \n"} for text in texts])
    task = with_feedback(task, texts=str(path), prompts=10)

    rows = task.graded_rows(lambda prompts, settings: [])

    prompts = [f"a{n} b c" for n in range(20)]
    splits = {p.text: p.split for p in split_prompts(prompts, task.split)}
    assert list(rows) == [
        FeedbackRow(text, " bad e f bad", 0.5, prompt_id(text), splits[text], False, "texts")
        for text in prompts
        if splits[text] != "test"
    ]
    assert task.feedback_name() == "rollouts-texts"


def test_only_texts_below_a_score_are_added(task: ToxicityTask, tmp_path: Path) -> None:
    texts = [{"text": f"a{n} b c {'bad' if n % 2 else 'good'} e f"} for n in range(40)]
    path = rtp_file(tmp_path / "texts.jsonl", texts)

    rows = with_feedback(task, texts=str(path), texts_below=0.9).graded_rows(lambda prompts, settings: [])

    assert rows
    assert {row.completion for row in rows} == {" bad e f"}


def test_a_missing_text_is_reported(task: ToxicityTask, tmp_path: Path) -> None:
    path = rtp_file(tmp_path / "texts.jsonl", [{"text": "a b c d e f"}, {"body": "a b c d e f"}])

    with pytest.raises(DataError, match=r"texts\.jsonl:2: 'text' is None\. Expected a non-empty string"):
        with_feedback(task, texts=str(path)).graded_rows(lambda prompts, settings: [])


# RealToxicityPrompts


def test_rtp_rows_score_one_minus_toxicity(task: ToxicityTask, tmp_path: Path) -> None:
    path = rtp_file(tmp_path / "rtp.jsonl", [rtp_row(n, n / 40) for n in range(40)])

    rows = with_feedback(task, source="rtp", path=str(path)).graded_rows(no_rollouts)

    prompts = [f"A prompt {n}" for n in range(40)]
    splits = {p.text: p.split for p in split_prompts(prompts, task.split)}
    assert list(rows) == [
        FeedbackRow(text, f" and more {n}.", 1 - n / 40, prompt_id(text), splits[text], False, "rtp")
        for n, text in enumerate(prompts)
        if splits[text] != "test"
    ]


def test_rtp_rows_without_a_grade_are_left_out_and_counted(
    task: ToxicityTask, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gcsl")
    path = rtp_file(tmp_path / "rtp.jsonl", [rtp_row(n, None if n < 3 else 1) for n in range(40)])

    rows = with_feedback(task, source="rtp", path=str(path)).graded_rows(no_rollouts)

    assert {row.score for row in rows} == {0.0}
    assert not {f"A prompt {n}" for n in range(3)} & {row.prompt for row in rows}
    assert "skipped 3 rows of" in caplog.text


def test_the_number_of_rtp_rows_can_be_limited(task: ToxicityTask, tmp_path: Path) -> None:
    """Rows after the first thirty graded ones are not even parsed."""
    path = rtp_file(tmp_path / "rtp.jsonl", [rtp_row(n, n % 2) for n in range(30)] + [{}])

    rows = with_feedback(task, source="rtp", path=str(path), rows=30).graded_rows(no_rollouts)

    assert 12 <= len(rows) < 30


def test_given_feedback_excludes_evaluation_prompts(task: ToxicityTask, tmp_path: Path) -> None:
    """A test prompt is excluded whatever split its row would be in."""
    tests = [prompt.text for prompt in task.prompts() if prompt.split == "test"]
    rows = [rtp_row(n) for n in range(30)] + [rtp_row(0) | {"prompt": {"text": f" {text.upper()}"}} for text in tests]
    path = rtp_file(tmp_path / "rtp.jsonl", rows)

    made = with_feedback(task, source="rtp", path=str(path)).graded_rows(no_rollouts)

    assert tests
    assert not {prompt_id(text) for text in tests} & {row.prompt_id for row in made}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"continuation": {"text": "x", "toxicity": 0}}, r"'prompt' is missing\. Expected {'text': \.\.\.}"),
        ({"prompt": "text", "continuation": {}}, "'prompt' is not an object"),
        ({"prompt": {"text": "x"}}, "'continuation' is missing"),
        (
            {"prompt": {"text": "x"}, "continuation": {"text": "y"}},
            r"continuation.toxicity is missing\. .* 0 to 1, or null",
        ),
        ({"prompt": {}, "continuation": {"text": "y", "toxicity": 0}}, r"'text' is None\. Expected a non-empty string"),
        ({"prompt": {"text": " "}, "continuation": {"text": "y", "toxicity": 0}}, "'text' is ' '"),
        ({"prompt": {"text": "x"}, "continuation": {"text": 3, "toxicity": 0}}, "'text' is 3"),
        (rtp_row(0, "0.5"), r"continuation.toxicity is '0.5'\. Expected a number from 0 to 1"),
        (rtp_row(0, float("nan")), "continuation.toxicity is nan"),
        (rtp_row(0, float("inf")), "continuation.toxicity is inf"),
        (rtp_row(0, 1.5), r"continuation.toxicity is 1\.5"),
        (rtp_row(0, -0.1), r"continuation.toxicity is -0\.1"),
        (rtp_row(0, True), "continuation.toxicity is True"),
        (rtp_row(0, [0.5]), r"continuation.toxicity is \[0\.5\]"),
    ],
)
def test_a_broken_rtp_row_is_reported_with_its_line(
    task: ToxicityTask, tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    rows = [rtp_row(n) for n in range(40)]
    rows[BROKEN_LINE - 1] = row
    path = rtp_file(tmp_path / "rtp.jsonl", rows)

    with pytest.raises(DataError, match=rf"rtp\.jsonl:{BROKEN_LINE}: {message}"):
        with_feedback(task, source="rtp", path=str(path)).graded_rows(no_rollouts)


def test_broken_json_is_reported_with_its_line(task: ToxicityTask, tmp_path: Path) -> None:
    path = rtp_file(tmp_path / "rtp.jsonl", [rtp_row(n) for n in range(6)])
    path.write_text(path.read_text(encoding="utf-8") + '{"prompt": {"text": "x"}', encoding="utf-8")

    with pytest.raises(DataError, match=rf"rtp\.jsonl:{BROKEN_LINE}: not valid JSON"):
        with_feedback(task, source="rtp", path=str(path)).graded_rows(no_rollouts)


def test_a_missing_rtp_file_is_refused(task: ToxicityTask, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none\.jsonl: no such file"):
        with_feedback(task, source="rtp", path=str(tmp_path / "none.jsonl")).graded_rows(no_rollouts)


def test_an_empty_rtp_file_is_refused(task: ToxicityTask, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rtp\.jsonl: the file is empty"):
        with_feedback(task, source="rtp", path=str(rtp_file(tmp_path / "rtp.jsonl", []))).graded_rows(no_rollouts)


def test_an_rtp_file_without_a_grade_is_refused(task: ToxicityTask, tmp_path: Path) -> None:
    path = rtp_file(tmp_path / "rtp.jsonl", [rtp_row(n, None) for n in range(40)])

    with pytest.raises(DataError, match=r"rtp\.jsonl: no graded rows"):
        with_feedback(task, source="rtp", path=str(path)).graded_rows(no_rollouts)


def test_equal_scores_give_no_levels(task: ToxicityTask, tmp_path: Path) -> None:
    path = rtp_file(tmp_path / "rtp.jsonl", [rtp_row(n, 0.25) for n in range(40)])
    rows = with_feedback(task, source="rtp", path=str(path)).graded_rows(no_rollouts)

    with pytest.raises(DataError, match=r"scores are 0\.75: no completion is better than another"):
        make_levels(rows.scores, rows.prompts, by="quantile", per="dataset", quantiles=[0.5], values=[])


def test_rtp_needs_a_path(task: ToxicityTask) -> None:
    with pytest.raises(ConfigError, match=r"source=rtp needs task\.feedback\.path"):
        with_feedback(task, source="rtp").graded_rows(no_rollouts)


def test_an_unknown_source_is_refused(task: ToxicityTask) -> None:
    with pytest.raises(ConfigError, match=r"task\.feedback\.source=web: unknown\. Allowed: rollouts, rtp"):
        with_feedback(task, source="web").graded_rows(no_rollouts)


def test_the_real_rtp_file(task: ToxicityTask, real_rtp: Path) -> None:
    rows = with_feedback(task, source="rtp", path=str(real_rtp)).graded_rows(no_rollouts)

    assert 2000 < len(rows) < 3500
    assert all(0 <= row.score <= 1 for row in rows)
    assert {row.split for row in rows} == {"train", "validation"}


# Identity


MODEL = {"uri": "a", "sha256": None, "revision": None}


@pytest.mark.parametrize(
    "changed",
    [
        {"prompts_uri": "hf://datasets/a/b/prompts.txt"},
        {"split": SplitConfig(salt="other")},
        {"version": 2},
        {"scorer": ProfanityScorer(name="other")},
        {"feedback": FeedbackConfig(source="rtp", path="hf://datasets/a/b/x.jsonl", seed=1)},
    ],
)
def test_feedback_keys_cover_all_that_changes_given_feedback(task: ToxicityTask, changed: dict[str, Any]) -> None:
    """This includes the prompts, since evaluation prompts are excluded."""
    task = with_feedback(task, source="rtp", path="hf://datasets/a/b/x.jsonl")

    assert replace(task, **changed).feedback_keys(MODEL) != task.feedback_keys(MODEL)


def test_the_model_is_only_in_the_keys_of_rollouts(task: ToxicityTask) -> None:
    rtp = with_feedback(task, source="rtp", path="hf://datasets/a/b/x.jsonl")

    assert task.feedback_keys(MODEL) != task.feedback_keys(MODEL | {"uri": "b"})
    assert rtp.feedback_keys(MODEL) == rtp.feedback_keys(MODEL | {"uri": "b"})


def test_evaluation_settings_do_not_change_feedback_keys(task: ToxicityTask) -> None:
    other = replace(task, second_scorer=WordListScorer(name="other"), sentences=["a"], levels=[0.5])

    assert other.feedback_keys(MODEL) == task.feedback_keys(MODEL)


# Metrics


def test_metrics_of_two_prompts_with_two_samples(task: ToxicityTask) -> None:
    """Toxicities are 0.75, 0 and 0.25, 0.25, so the maxima are 0.75 and 0.25; only the first reaches 0.5."""
    completions = [[" bad bad bad x", " x"], [" bad x x x", " x bad y z"]]

    made = task.metrics(task.prompts()[:2], completions)
    metrics = {name: (metric.numerator / metric.denominator).tolist() for name, metric in made.items()}

    assert metrics == {
        "expected_maximum_toxicity": [0.75, 0.25],
        "toxicity_probability": [1.0, 0.0],
        "mean_toxicity": [0.375, 0.25],
        "listed_word": [0.5, 1.0],
    }
    assert [column.name for column in task.result_columns()] == list(metrics)
    assert [column.name for column in task.result_columns() if column.independent] == ["listed_word"]


def test_a_higher_score_is_better(task: ToxicityTask) -> None:
    assert task.score(task.prompts()[:3], ["bad bad", "bad x", "x"]).tolist() == [0.0, 0.5, 1.0]


def test_another_scorer_has_to_grade_from_0_to_1(task: ToxicityTask) -> None:
    with pytest.raises(ConfigError, match="scorer=length: a grade of 2; this task takes toxicities, from 0 to 1"):
        replace(task, scorer=LengthScorer()).score(task.prompts()[:1], ["two words"])


def test_ungraded_rollouts_are_left_out(task: ToxicityTask) -> None:
    """Without a grade, a completion is neither polite nor toxic."""

    def rollouts(prompts: Sequence[Prompt], settings: RolloutSettings) -> list[Generation]:
        return [Generation(p.prompt_id, p.text, n, " yes", 4, True) for p in prompts for n in range(2)]

    @dataclass
    class Odd(ProfanityScorer):
        def grade(self, examples: Sequence[Example]) -> Floats:
            return np.array([0.5, math.nan] * (len(examples) // 2))

    rows = replace(task, scorer=Odd(), feedback=FeedbackConfig(samples=2)).graded_rows(rollouts)
    assert {row.score for row in rows} == {0.5}
    assert len(rows) == len([prompt for prompt in task.prompts() if prompt.split != "test"])


def test_the_format_is_only_in_the_keys_of_rollouts(task: ToxicityTask) -> None:
    """Rollouts are sampled in the task's prompt format, which does not affect given completions."""
    rtp = with_feedback(task, source="rtp", path="hf://datasets/a/b/x.jsonl")

    assert replace(task, format="chat").feedback_keys(MODEL) != task.feedback_keys(MODEL)
    assert replace(rtp, format="chat").feedback_keys(MODEL) == rtp.feedback_keys(MODEL)


def test_a_changed_file_changes_the_feedback_keys(task: ToxicityTask, tmp_path: Path) -> None:
    graded = tmp_path / "graded.jsonl"
    graded.write_text("{}", encoding="utf-8")
    rtp = with_feedback(task, source="rtp", path=str(graded))
    before = rtp.feedback_keys(MODEL)
    graded.write_text("{ }", encoding="utf-8")

    assert rtp.feedback_keys(MODEL) != before


def test_the_second_scorer_is_in_the_evaluation_keys(task: ToxicityTask) -> None:
    other = replace(task, second_scorer=WordListScorer(name="other"))

    assert other.evaluation_keys() != task.evaluation_keys()
