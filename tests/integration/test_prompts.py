"""From prompts to an evaluated model, and a file of completions graded, on a tiny random model."""

import json
from pathlib import Path

import pytest

from gcsl_cli.data.records import read_feedback
from tests import outputs
from tests.commands import gcsl

REWARDS = """
from pathlib import Path

def vowels(prompts, completions, topic, **columns):
    assert all(prompt[-1]["role"] == "user" for prompt in prompts) and set(topic) <= {"cats", "dogs"}
    texts = [completion[0]["content"] for completion in completions]
    grades = [None if text[:1] > "~" else float(sum(text.count(vowel) for vowel in "aeiou")) for text in texts]
    with Path(__file__).with_name("graded").open("a") as stream:
        stream.write("x" * sum(grade is not None for grade in grades))
    return grades
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty conversations, and a function that cannot grade some completions; the file `graded` counts the others."""
    folder = tmp_path_factory.mktemp("prompts")
    rows = [
        {"messages": [{"role": "user", "content": f"Name {animal} number {number}."}], "topic": animal}
        for number in range(20)
        for animal in ("cats", "dogs")
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "rewards.py").write_text(REWARDS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def lines(folder: Path, tiny_model: Path) -> list[str]:
    return [
        "debug=tiny",
        "model=local",
        f"model.uri={tiny_model}",
        "task=prompts",
        f"task.path={folder}/prompts.jsonl",
        "scorer=python",
        f"scorer.function={folder}/rewards.py:vowels",
        "allow_custom_code=true",
        "scorer@second_scorer=length",
        "second_scorer.unit=characters",
        "train.precision=fp32",
        f"runs_dir={folder}/runs",
    ]


@pytest.fixture(scope="module")
def result(lines: list[str]) -> dict[str, object]:
    ended = gcsl("evaluate", *lines, "--json")
    assert ended.code == 0, ended.err
    found: dict[str, object] = json.loads(ended.out)["result"]
    return found


def test_prompts_and_a_scorer_are_enough(result: dict[str, object], folder: Path) -> None:
    """The rows are graded rollouts of the prompts outside the test split, and the table shows both scorers."""
    rows = list(read_feedback(outputs.only(folder / "runs", "prompts/feedback-prompts-python-*/feedback.parquet")))
    columns = {str(column["label"]): column for column in result["columns"]}  # type: ignore[attr-defined]

    assert [row.score for row in rows] == [sum(map(row.completion.count, "aeiou")) for row in rows]
    assert {row.split for row in rows} == {"train", "validation"}
    assert list(columns)[:4] == ["mean python", "best python of n", "mean length", "no grade"]
    assert columns["mean length"]["independent"]
    assert all(0 < arm["metrics"]["ungraded"]["value"] < 1 for arm in result["arms"])  # type: ignore[attr-defined]


def test_a_second_evaluation_grades_nothing(result: dict[str, object], lines: list[str], folder: Path) -> None:
    graded = (folder / "graded").stat().st_size
    ended = gcsl("evaluate", *lines, "force=true", "--json")
    again = json.loads(ended.out)["result"]

    assert ended.code == 0, ended.err
    assert again["arms"] == result["arms"]
    assert graded > 0
    assert (folder / "graded").stat().st_size == graded


def test_other_prompts_are_another_experiment(result: dict[str, object], lines: list[str], folder: Path) -> None:
    """Although the file has the same name."""
    path = folder / "prompts.jsonl"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace("number 3.", "number three."), encoding="utf-8")
    ended = gcsl("prepare", *lines, "dry_run=true")
    path.write_text(before, encoding="utf-8")

    assert ended.code == 0, ended.err
    assert "not made yet: " in ended.out
    assert "40 distinct: " in ended.out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("scorer@second_scorer=exact_match", "scorer=exact_match compares with reference answers"),
        ("task.columns.prompt=mesages", "Did you mean messages?"),
        ("scorer.function=nowhere.py:f", "there is no file nowhere.py"),
    ],
)
def test_a_mistake_costs_no_rollouts(lines: list[str], folder: Path, tmp_path: Path, changed: str, said: str) -> None:
    kept = [line for line in lines if "second_scorer" not in line]
    ended = gcsl("evaluate", *kept, changed, f"runs_dir={tmp_path}")

    assert (ended.code, said in ended.err) == (2, True), ended.err
    assert not list(tmp_path.glob("prompts/*"))


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "answers.jsonl"
    path.write_text('{"prompt": "Hi", "completion": "Hello, please!"}\n{"prompt": "Ho", "completion": "No."}\n')
    return path


def test_a_file_is_graded(answers: Path) -> None:
    ended = gcsl("score", "answers.jsonl", "scorer=contains", "scorer.words=[please]", "--json")
    document = json.loads(ended.out)
    table = gcsl("score", "answers.jsonl", "scorer=length", "--output", "long.csv", "--column", "words")

    assert (ended.code, document["exit_code"], document["mean"]) == (0, 0, 0.5), ended.err
    assert table.out.startswith("score: done, long.csv\ngraded   2 completions by length")
    assert Path("long.csv").read_text(encoding="utf-8").startswith("prompt,completion,words\n")


def test_a_mistake_in_scoring_is_explained(answers: Path) -> None:
    ended = gcsl("score", "answers.jsonl", "scorer=contians")

    assert (ended.code, ended.out) == (2, "")
    assert "Did you mean contains?" in ended.err
