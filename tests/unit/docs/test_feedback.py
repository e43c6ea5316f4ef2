"""docs/tasks/feedback.md: its example files are read as described, and its error message is the actual one."""

import gzip
import re
import shlex
from pathlib import Path

import pytest

from gcsl_cli.configs import Composer, finish, without_hydra
from gcsl_cli.data.input_files import ReadOptions
from gcsl_cli.data.splits import SplitConfig
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


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(None)


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


SHAPES = re.findall(r"^\| (.+?) \| (.+?) \| `(gcsl train .+?)` \|$", PAGE, re.MULTILINE)
CAT = ("Name a cat.", "Minka.", 4.0)
HI = ('[{"role": "user", "content": "Hi"}]', "Hello!", 1.0)
MEANT = {
    "answers.jsonl": [CAT],
    "answers.jsonl.gz": [CAT],
    "list.json": [CAT],
    "alpaca.jsonl": [("Translate.\n\nHund", "dog", 1.0)],
    "chats.jsonl": [HI],
    "sharegpt.jsonl": [HI],
    "ultra.jsonl": [CAT, ("Name a cat.", "Cat.", 1.0)],
    "pairs.jsonl": [("Name a cat.", "Minka.", 1.0), ("Name a cat.", "Cat.", 0.0)],
    "raters.jsonl": [CAT],
    "nested.jsonl": [CAT],
    "words.csv": [("Name a cat.", "Minka.", 1.0), ("Name a cat.", "Cat.", 0.0)],
    "sheet.csv": [("Name a cat.", "Minka.", 4.5)],
    "windows.csv": [("Eine Käsesorte?", "Gouda.", 4.5)],
}


@pytest.mark.parametrize(("like", "command"), [shape[1:] for shape in SHAPES], ids=[shape[0] for shape in SHAPES])
def test_a_file_like_this_is_read_by_that_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, composer: Composer, like: str, command: str
) -> None:
    """Up to the splits, which one row does not fill."""
    monkeypatch.chdir(tmp_path)
    lines = shlex.split(command)[2:]
    task = finish(without_hydra(composer.compose(lines)), lines).task
    row = SHAPES[0][1] if like == "the same" else like
    content = "\n".join(line.strip("`") for line in row.split("<br>")).encode(task.encoding or "utf-8")
    Path(task.path).write_bytes(gzip.compress(content) if task.path.endswith(".gz") else content)
    task.split = SplitConfig(test=0, validation=0)

    rows = [(row.prompt, row.completion, row.score) for row in task.graded_rows(lambda *_: [], None)]
    assert rows == MEANT[task.path]


def test_every_shape_is_in_the_table() -> None:
    assert len(SHAPES) == len(MEANT) >= 10


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
