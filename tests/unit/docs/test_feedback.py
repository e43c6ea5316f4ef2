"""docs/tasks/feedback.md: its example files are read as described, and its error message is the actual one."""

import re
from pathlib import Path

import pytest

from gcsl_cli.data.input_files import ReadOptions
from gcsl_cli.errors import DataError
from gcsl_cli.tasks.feedback.columns import ColumnsConfig
from gcsl_cli.tasks.feedback.graded_file import GradedFile, find_layout, read_graded
from gcsl_cli.tasks.feedback.grades import GradeRules
from gcsl_cli.tasks.feedback.task import FeedbackTask

PAGE = (Path(__file__).parents[3] / "docs/tasks/feedback.md").read_text(encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in re.findall(r"```\w+ (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def read(path: Path) -> GradedFile:
    options = ReadOptions()
    layout = find_layout([path], ColumnsConfig(), options)
    return read_graded([path], layout, options, GradeRules(), None, str, print)


@pytest.mark.parametrize(
    ("name", "columns", "grades"),
    [
        ("answers.jsonl", ("question", "answer", "rating"), [4, 1, 5]),
        ("ratings.csv", ("prompt", "response", "reward"), [0.9, 0.2]),
        ("chats.jsonl", ("messages", None, "label"), [1, 0]),
    ],
)
def test_examples_are_read(files: Path, name: str, columns: tuple[str, str | None, str], grades: list[float]) -> None:
    found = read(files / name)

    assert (found.columns.prompt, found.columns.completion, found.columns.score) == columns
    assert found.table["grade"].to_pylist() == grades
    assert not found.faults.total


def test_quotes_and_conversations_are_preserved(files: Path) -> None:
    assert read(files / "ratings.csv").table["completion"][1].as_py() == 'good night, she said "loudly"'
    assert read(files / "chats.jsonl").table["completion"][0].as_py() == "Hello! What can I do?"


def test_the_message_for_a_broken_file(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    task = FeedbackTask(path="broken.jsonl")

    with pytest.raises(DataError) as error:
        task.graded_rows(lambda *_: [], None)
    assert f"```text\n{error.value}\n```" in PAGE


def test_the_wording_of_a_level() -> None:
    from gcsl_cli.goals.scale import Scale
    from gcsl_cli.goals.wording import default_template, fill_template

    template = default_template("language", "threshold", "dataset", "distinct", Scale("helpfulness", 0, 4))
    assert f"\n{fill_template(template, [4.0], Scale('helpfulness', 0, 4))[0]}\n" in PAGE
