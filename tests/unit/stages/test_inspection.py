"""`gcsl inspect`: what is understood of a file, and the files that it writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.stages import inspection
from gcsl_cli.tasks.feedback.task import FeedbackTask

pytestmark = pytest.mark.usefixtures("remembered_composition")

Inspect = Callable[..., dict[str, Any]]
ROWS = [
    {"question": f"Name animal {number}.", "answer": answer, "rating": rating}
    for number in range(6)
    for answer, rating in (("A cat.", 5), ("A very big dog.", 3), ("No.", 1))
]


def written(folder: Path, rows: list[Any], name: str = "my.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_back(path: Path) -> list[tuple[str, str, float]]:
    task = FeedbackTask(path=str(path))
    return [(row.prompt, row.completion, row.score) for row in task.first_rows(None)]


@pytest.fixture
def inspect(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inspect:
    monkeypatch.chdir(tmp_path)

    def run(path: Path, *lines: str, first: int | None = None, **files: Path | None) -> dict[str, Any]:
        options = {"output": None, "pairs": None} | files
        model = [f"model.uri={tiny_model}", "model.sha256=null"]
        return inspection.run(str(path), [*model, *lines], first=first, config_dir=None, **options)

    return run


def summary(found: dict[str, Any], label: str) -> list[str]:
    return [text for name, text in found["summary"] if name == label]


def test_what_is_understood_of_a_file(inspect: Inspect, tmp_path: Path) -> None:
    found = inspect(written(tmp_path, ROWS))

    assert found["rows"] == 18
    assert found["columns"] == {"prompt": "question", "completion": "answer", "score": "rating"}
    assert found["rows_per_prompt"] == {"median": 3, "p95": 3, "max": 3}
    assert (found["duplicates"], found["conflicting"]) == (0, 0)
    assert summary(found, "grades") == ["1: 6, 3: 6, 5: 6"]
    assert summary(found, "file")[0].endswith("my.jsonl: 18 rows (JSON, UTF-8)")
    assert [len(summary(found, f"level {grade}")) for grade in (1, 3, 5)] == [1, 1, 1]


def test_examples_have_the_worst_the_middle_and_the_best_grade(inspect: Inspect, tmp_path: Path) -> None:
    found = inspect(written(tmp_path, ROWS), "task.format=plain")

    examples = summary(found, "example")
    assert [text.partition("[supervised: ")[2].partition(".")[0] for text in examples] == [
        "No",
        "A very big dog",
        "A cat",
    ]
    assert [f"at least {grade}" in text for grade, text in zip((1, 3, 5), examples, strict=True)] == [True] * 3


def test_several_scores_have_levels_of_their_own(inspect: Inspect, tmp_path: Path) -> None:
    rows = [row | {"length": len(str(row["answer"]))} for row in ROWS]
    found = inspect(written(tmp_path, rows), "task.columns.scores=[rating,length]", "task.format=plain")

    assert summary(found, "rating 5")[0].startswith("6 rows reach it: ")
    assert summary(found, "length 15")[0].startswith("6 rows reach it: ")
    assert "rating is at least 3 of 5 and whose length is at least 15 of 15" in summary(found, "example")[-1]


def test_lengths_are_counted_with_the_goal_and_against_the_limit(inspect: Inspect, tmp_path: Path) -> None:
    """The tiny tokenizer has a token per byte."""
    path = written(tmp_path, ROWS)
    lines = ("task.format=plain", 'goal.sentences=["B:","C:","G:"]')

    found = inspect(path, *lines, "train.max_length=25")

    assert found["prompt_tokens"]["max"] == len("G:\nName animal 0.")
    assert found["completion_tokens"]["max"] == len("A very big dog.")
    assert (found["limit"], found["rows_too_long"], found["prompts_too_long"]) == (25, 6, 0)


def test_repeated_rows_are_counted(inspect: Inspect, tmp_path: Path) -> None:
    found = inspect(written(tmp_path, [*ROWS, ROWS[0], ROWS[3] | {"rating": 1}]))

    assert (found["duplicates"], found["conflicting"]) == (2, 1)
    assert summary(found, "duplicates") == [
        "2 rows repeat the prompt and completion of another; 1 completions have different grades"
    ]


def test_only_the_first_rows_are_looked_at(inspect: Inspect, tmp_path: Path) -> None:
    path = written(tmp_path, [*ROWS[:6], "not an object"])

    assert inspect(path, first=6)["rows"] == 6
    assert summary(inspect(path, first=6), "looked at") == ["the first 6 rows (--rows)"]
    assert summary(inspect(path), "left out")


def test_too_few_prompts_for_splits_are_told(inspect: Inspect, tmp_path: Path) -> None:
    path = written(tmp_path, ROWS)

    assert summary(inspect(path), "splits")[0].startswith("none: There are 6 distinct prompts; 3 splits")
    assert summary(inspect(path, "task.split.minimum=1"), "splits")[0].startswith("train 4, validation 1, test 1")


def test_a_file_without_levels_says_why(inspect: Inspect, tmp_path: Path) -> None:
    found = inspect(written(tmp_path, [row | {"rating": 1} for row in ROWS]))

    assert summary(found, "levels")[0].startswith("none: ")


def test_a_file_without_a_usable_row_is_an_error(inspect: Inspect, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No usable rows are left[\s\S]*task\.grades"):
        inspect(written(tmp_path, [row | {"rating": "fine"} for row in ROWS]))


def test_tools_that_the_model_never_sees_are_told(inspect: Inspect, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    tools = [{"type": "function", "function": {"name": "find"}}]
    found = inspect(written(tmp_path, [{"messages": turns, "tools": tools, "score": score} for score in (1, 2)]))

    assert summary(found, "note") == ["2 conversations have tools, which the model's chat template leaves out"]


def test_another_task_is_refused(inspect: Inspect, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"task\.path"):
        inspect(written(tmp_path, ROWS), "task=toxicity")


# Round trip


def test_written_rows_read_back_alike(inspect: Inspect, tmp_path: Path) -> None:
    """All of them, whatever is looked at; with the grades of the file also where lower is better."""
    path, target = written(tmp_path, ROWS), tmp_path / "rows.jsonl"

    found = inspect(path, "task.score_direction=lower", first=2, output=target)

    assert lines_of(target)[0] == {"prompt": "Name animal 0.", "completion": "A cat.", "score": 5.0}
    assert read_back(target) == [(row["question"], row["answer"], row["rating"]) for row in ROWS]
    assert summary(found, "written") == [f"{target}: 18 rows"]


def test_written_pairs_are_the_best_and_the_worst_of_a_prompt(inspect: Inspect, tmp_path: Path) -> None:
    target = tmp_path / "pairs.jsonl"
    inspect(written(tmp_path, ROWS), pairs=target)

    assert len(lines_of(target)) == 6
    assert lines_of(target)[0] == {
        "prompt": "Name animal 0.",
        "chosen": "A cat.",
        "rejected": "No.",
        "score_chosen": 5.0,
        "score_rejected": 1.0,
    }


def test_pairs_are_made_as_for_dpo(inspect: Inspect, tmp_path: Path) -> None:
    """Grades 1, 3 and 5 of each of six prompts: all three pairs, of which one is 4 apart."""
    path, target = written(tmp_path, ROWS), tmp_path / "pairs.jsonl"

    inspect(path, "method=dpo", "method.pairs=all", pairs=target)
    assert len(lines_of(target)) == 18
    inspect(path, "method=dpo", "method.pairs=all", "method.margin=4", pairs=target)
    assert [(line["score_chosen"], line["score_rejected"]) for line in lines_of(target)] == [(5, 1)] * 6


def test_without_pairs_only_what_helps_is_advised(inspect: Inspect, tmp_path: Path) -> None:
    path, alike = written(tmp_path, ROWS), written(tmp_path, [{**row, "rating": 1} for row in ROWS[::3]], "alike.jsonl")

    with pytest.raises(DataError) as error:
        inspect(path, "method=dpo", "method.margin=5", pairs=tmp_path / "pairs.jsonl")
    assert str(error.value) == (
        "0 preference pairs: 6 of 6 prompts have completions with different grades, and only differences of at least "
        "method.margin=5 count. What helps: more graded completions per prompt, a smaller method.margin, "
        "method.pairs=all. Methods that need no pairs: gcsl, sft, kto."
    )
    with pytest.raises(DataError, match=r"grades\. What helps: more graded completions per prompt\. Methods"):
        inspect(alike, pairs=tmp_path / "pairs.jsonl")


def test_conversations_are_written_as_messages(inspect: Inspect, tmp_path: Path) -> None:
    turn, tools = {"role": "user", "content": "Hi"}, [{"type": "function", "function": {"name": "f"}}]
    answers = [({"role": "assistant", "content": text}, score) for text, score in (("Hello!", 1), ("What.", 0))]
    rows = [{"messages": [turn, answer], "tools": tools, "score": score} for answer, score in answers]
    path, target, pairs = written(tmp_path, rows), tmp_path / "rows.jsonl", tmp_path / "pairs.jsonl"

    inspect(path, output=target, pairs=pairs)

    assert lines_of(target) == [
        {"prompt": [turn], "tools": tools, "completion": [answer], "score": score} for answer, score in answers
    ]
    assert [lines_of(pairs)[0][key][0]["content"] for key in ("chosen", "rejected")] == ["Hello!", "What."]


def test_completions_that_call_tools_are_written_as_messages(inspect: Inspect, tmp_path: Path) -> None:
    """The template of the tiny model does not render them, which is told."""
    call = {"function": {"name": "find", "arguments": {"q": "x"}}}
    answers = [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "assistant", "content": "No."}]
    rows = [{"messages": [{"role": "user", "content": "Hi"}, answer], "score": n} for n, answer in enumerate(answers)]
    path, target = written(tmp_path, rows), tmp_path / "rows.jsonl"

    found = inspect(path, output=target)

    assert [row["completion"] for row in lines_of(target)] == [[answer] for answer in answers]
    assert summary(found, "left out") == ["1 x the model's chat template leaves out tool calls: my.jsonl:1"]


def test_the_name_of_a_written_file_tells_its_format(inspect: Inspect, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rows\.csv: the file is written as JSON lines"):
        inspect(written(tmp_path, ROWS), output=tmp_path / "rows.csv")


@pytest.mark.parametrize("option", ["output", "pairs"])
def test_the_file_itself_is_never_overwritten(inspect: Inspect, tmp_path: Path, option: str) -> None:
    path = written(tmp_path, ROWS)
    before = path.read_bytes()

    with pytest.raises(ConfigError, match=rf"--{option} .*my\.jsonl: that is a file to read"):
        inspect(path, **{option: tmp_path / "x" / ".." / "my.jsonl"})
    assert path.read_bytes() == before


def test_nothing_is_written_if_one_of_two_files_cannot_be(inspect: Inspect, tmp_path: Path) -> None:
    path, rows = written(tmp_path, ROWS), tmp_path / "rows.jsonl"

    for pairs in (rows, tmp_path / "pairs.csv"):
        with pytest.raises(ConfigError):
            inspect(path, output=rows, pairs=pairs)
    assert not rows.exists()


def test_a_row_that_is_too_long_is_no_example(inspect: Inspect, tmp_path: Path) -> None:
    """The tiny model has a context of 512 tokens."""
    found = inspect(written(tmp_path, [ROWS[0] | {"question": "a" * 600, "rating": 6}, *ROWS]))

    assert found["prompts_too_long"] == 1
    assert summary(found, "example")[-1].startswith("left out: 1 of 1 prompts is too long: my.jsonl:1 ")


def test_the_file_is_the_argument_alone(inspect: Inspect, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"leave task\.path out"):
        inspect(written(tmp_path, ROWS), "task.path=other.jsonl")
