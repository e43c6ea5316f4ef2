"""docs/tasks/prompts.md and docs/scorers.md: their files are read as described, their output is the real one."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from gcsl_cli.configs import load
from gcsl_cli.scorers.judge import RUBRIC
from gcsl_cli.stages.score import run
from tests.commands import gcsl

DOCS = Path(__file__).parents[3] / "docs"
PROMPTS = (DOCS / "tasks/prompts.md").read_text(encoding="utf-8")
SCORERS = (DOCS / "scorers.md").read_text(encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example files, in the current folder."""
    for name, text in re.findall(r"```\w+ (\S+)\n(.*?)```", PROMPTS + SCORERS, re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_quick_start_makes_these_prompts(files: Path) -> None:
    """The loop of the page, and the beginning of its dry run."""
    loop, command = re.findall(r"^```bash\n(for .*?)^(gcsl evaluate .*?)$", PROMPTS, re.MULTILINE | re.DOTALL)[0]
    subprocess.run(["bash", "-c", loop], check=True)
    task = load(shlex.split(command)[2:]).task
    printed = next(text for text in re.findall(r"```text\n(.*?)```", PROMPTS, re.DOTALL) if text.startswith("file"))
    lines = [re.split(r"\s{2,}", line, maxsplit=1) for line in printed.splitlines()]

    assert lines[:-1] == task.overview()
    assert lines[-1][1].startswith(f"not made yet: {task.rollouts_planned()} completions")


def test_the_example_has_references_and_topics(files: Path) -> None:
    task = load(["task=prompts", "task.path=prompts.jsonl", "scorer=exact_match"]).task

    assert [(row.reference, row.columns["topic"]) for row in task.file.rows] == [
        ("42", "arithmetic"),
        ("Lima", "geography"),
    ]


def test_the_programs_of_the_example_have_these_grades(files: Path) -> None:
    ended = gcsl("score", "problems.jsonl", "scorer=unit_tests", "--json")

    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in (files / "problems-graded.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (
        tuple(f"{row['score']:g}" for row in rows)
        == re.findall(r"grades (\S+) and (\S+)\. Rows of HumanEval", SCORERS)[0]
    )


def test_a_graded_file_is_reported_like_this(files: Path) -> None:
    command = next(line for line in SCORERS.splitlines() if line.startswith("gcsl score answers.jsonl scorer=contains"))
    ended = gcsl(*shlex.split(command)[1:])
    printed = next(text for text in re.findall(r"```text\n(.*?)```", SCORERS, re.DOTALL) if text.startswith("score: "))

    assert ended.code == 0, ended.err
    assert [line.rstrip() for line in ended.out.splitlines()] == printed.splitlines()


def test_the_function_and_the_combination_grade(files: Path) -> None:
    """1 / (1 + 6 words); one of two polite words and 6 words of 20: (2 * 0.5 + 0.3) / 3."""
    function = ["scorer=python", "scorer.function=rewards.py:brevity", "allow_custom_code=true"]

    assert run("answers.jsonl", function, Path("a.jsonl"))["lowest"] == pytest.approx(1 / 7)
    mixed = run("answers.jsonl", ["scorer=polite_and_short"], Path("b.jsonl"), config_dir=Path("mine"))
    assert mixed["highest"] == pytest.approx((2 * 0.5 + 0.3) / 3)


def test_the_rubric_is_that_of_the_judge() -> None:
    assert f"```text\n{RUBRIC}\n```" in SCORERS
