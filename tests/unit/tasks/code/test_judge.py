"""Grades of programs: verdicts first, then speed beside known correct solutions from a file."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code import speed, verdicts
from gcsl_cli.tasks.code.efficiency import Timing
from gcsl_cli.tasks.code.judge import Judge
from gcsl_cli.tasks.code.records import CodeProblem
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict
from gcsl_cli.tasks.code.speed import SpeedConfig
from gcsl_cli.tasks.code.verdicts import SandboxConfig

PROMPT = "def f():"
PROBLEMS = [CodeProblem("a", PROMPT, "f", ("assert f() == 1",), reference="\n    return 1  # 2.0\n")]
PROGRAMS = [Program("a", f"{PROMPT}\n    return 1  # {time}\n") for time in ("1.0", "3.0", "wrong", "9.0")]


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    """What was run; a program's comment says how long it takes, or that it is wrong."""
    run: list[Program] = []

    def grade(programs: Iterable[Program], problems: Mapping[str, Problem], **_: Any) -> Iterator[Verdict]:
        for program in programs:
            run.append(program)
            wrong = "wrong" in program.code
            yield Verdict(1 - wrong, 1, "wrong answer" if wrong else "", "", -1, 0.1, 0.1, False)

    def timed(programs: Sequence[Program], problems: Mapping[str, CodeProblem], **_: Any) -> list[Timing]:
        return [Timing(float(program.code.split("#")[1])) for program in programs]

    monkeypatch.setattr(verdicts, "grade", grade)
    monkeypatch.setattr(speed, "relative_times", timed)
    return run


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Inputs for the problem, and four solutions: one is wrong, the last one is beyond the three that are taken."""
    inputs, solutions = tmp_path / "inputs.csv", tmp_path / "solutions.jsonl"
    row = {"task_id": "a", "input_generator": "g", "input_levels": "1 2", "prompt": PROMPT, "reference_solution": "r"}
    with inputs.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    texts = [f"\n    return 1  # {time}\n" for time in ("4.0", "wrong", "8.0", "16.0")]
    solutions.write_text(json.dumps({"task_id": "a", "samples": texts}), encoding="utf-8")
    return inputs, solutions


def test_without_inputs_verdicts_are_all(graded: list[Program]) -> None:
    found = Judge(PROBLEMS, SandboxConfig())(PROGRAMS)

    assert found.scores.tolist() == [1, 1, 0, 1]
    assert graded == PROGRAMS


def test_speed_is_compared_with_correct_solutions_of_others(graded: list[Program], files: tuple[Path, Path]) -> None:
    """Known are 1 (the inputs' reference), 2 (the problem's own), 4 and 8: 1 outruns three and ties with one."""
    inputs, solutions = files
    judge = Judge(PROBLEMS, SandboxConfig(), SpeedConfig(inputs=str(inputs)), solutions, most=3)
    judge.check()
    found = judge(PROGRAMS)

    assert found.scores == pytest.approx([1 + 3.5 / 4, 1.5, 0, 1])
    assert judge(PROGRAMS[:1]).scores == pytest.approx([1 + 3.5 / 4])
    assert len(graded) == len(set(graded)) == 4 + 1 + 2  # the wrong one is among both


def test_verdicts_and_times_are_kept(graded: list[Program], files: tuple[Path, Path], tmp_path: Path) -> None:
    inputs, solutions = files
    for _ in range(2):
        Judge(PROBLEMS, SandboxConfig(), SpeedConfig(inputs=str(inputs)), solutions)(PROGRAMS, tmp_path)

    assert len(graded) == 4 + 1 + 3
    assert {path.parent.name for path in tmp_path.glob("*/*.parquet")} == {"verdicts", "speed"}


def test_inputs_of_other_problems_are_refused(files: tuple[Path, Path]) -> None:
    other = [CodeProblem("b", PROMPT, "f", ("assert f() == 1",))]
    with pytest.raises(ConfigError, match=r"task\.speed\.inputs=.*: no task_id in it is one of task\.problems"):
        Judge(other, SandboxConfig(), SpeedConfig(inputs=str(files[0]))).check()
