"""Scores and metrics of programs, derived by hand from verdicts and speed percentiles."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code import speed, unit_tests
from gcsl_cli.tasks.code.grading import Grades, ProgramGrader
from gcsl_cli.tasks.code.problems import CodeProblem
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict
from gcsl_cli.tasks.code.speed import SpeedConfig
from gcsl_cli.tasks.code.timing import Timing
from gcsl_cli.tasks.code.unit_tests import SandboxConfig

PROMPT = "def f():"
PROBLEMS = [CodeProblem("a", PROMPT, "f", ("assert f() == 1",), reference="\n    return 1  # 2.0\n")]
PROGRAMS = [Program("a", f"{PROMPT}\n    return 1  # {time}\n") for time in ("1.0", "3.0", "wrong", "9.0")]


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    """Programs that were run; a program's comment tells its relative time, or that it is wrong."""
    run: list[Program] = []

    def grade(programs: Iterable[Program], problems: Mapping[str, Problem], **_: Any) -> Iterator[Verdict]:
        for program in programs:
            run.append(program)
            wrong = "wrong" in program.code
            yield Verdict(1 - wrong, 1, "wrong answer" if wrong else "", "", -1, 0.1, 0.1, False)

    def timed(programs: Sequence[Program], problems: Mapping[str, CodeProblem], **_: Any) -> list[Timing]:
        return [Timing(float(program.code.split("#")[1])) for program in programs]

    monkeypatch.setattr(unit_tests, "grade", grade)
    monkeypatch.setattr(speed, "relative_times", timed)
    return run


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Inputs for the problem, and four solutions, one of which is wrong; a limit of three excludes the last one."""
    inputs, solutions = tmp_path / "inputs.csv", tmp_path / "solutions.jsonl"
    row = {"task_id": "a", "input_generator": "g", "input_levels": "1 2", "prompt": PROMPT, "reference_solution": "r"}
    with inputs.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    texts = [f"\n    return 1  # {time}\n" for time in ("4.0", "wrong", "8.0", "16.0")]
    solutions.write_text(json.dumps({"task_id": "a", "samples": texts}), encoding="utf-8")
    return inputs, solutions


def test_without_inputs_only_the_tests_count(graded: list[Program]) -> None:
    found = ProgramGrader(PROBLEMS, SandboxConfig())(PROGRAMS)

    assert found.scores.tolist() == [1, 1, 0, 1]
    assert graded == PROGRAMS


def test_speed_is_compared_with_known_correct_solutions(graded: list[Program], files: tuple[Path, Path]) -> None:
    """Known times are 1 (reference of the inputs), 2 (of the problem), 4 and 8: 1 beats three and ties with one."""
    inputs, solutions = files
    grader = ProgramGrader(PROBLEMS, SandboxConfig(), SpeedConfig(inputs=str(inputs)), solutions, per_problem=3)
    grader.check()
    found = grader(PROGRAMS)

    assert found.scores == pytest.approx([1 + 3.5 / 4, 1.5, 0, 1])
    assert grader(PROGRAMS[:1]).scores == pytest.approx([1 + 3.5 / 4])
    assert len(graded) == len(set(graded)) == 4 + 1 + 2  # both contain the wrong program


def test_verdicts_and_times_are_cached(graded: list[Program], files: tuple[Path, Path], tmp_path: Path) -> None:
    inputs, solutions = files
    for _ in range(2):
        ProgramGrader(PROBLEMS, SandboxConfig(), SpeedConfig(inputs=str(inputs)), solutions)(PROGRAMS, tmp_path)

    assert len(graded) == 4 + 1 + 3
    assert {path.parent.name for path in tmp_path.glob("*/*.parquet")} == {"verdicts", "speed"}


def test_inputs_of_other_problems_are_refused(files: tuple[Path, Path]) -> None:
    other = [CodeProblem("b", PROMPT, "f", ("assert f() == 1",))]
    with pytest.raises(ConfigError, match=r"task\.speed\.inputs=.*: none of its task_id values is in task\.problems"):
        ProgramGrader(other, SandboxConfig(), SpeedConfig(inputs=str(files[0]))).check()


def verdict(passed: int, error: str = "", *, tests: int = 4, together: bool = False) -> Verdict:
    return Verdict(passed, tests, error, "", 0, 0.1, 0.1, together)


VERDICTS = [
    *(verdict(4), verdict(3, "wrong answer"), verdict(4, together=True)),
    *(verdict(0, "syntax"), verdict(0, "no tests", tests=0), verdict(2, "exception")),
]


def test_the_score_is_the_share_of_tests() -> None:
    grades = Grades.of(VERDICTS)

    assert grades.scores.tolist() == [1, 0.75, 1, 0, 0, 0.5]
    assert grades.solved.tolist() == [True, False, True, False, False, False]
    assert grades.together.tolist() == [False, False, True, False, False, False]
    assert grades.errors.tolist() == ["none", "wrong", "none", "syntax", "raised", "raised"]


def test_speed_is_added_once_all_tests_pass() -> None:
    """The third passes as well, but its problem is not timed."""
    grades = Grades.of(VERDICTS, np.array([0.8] + [np.nan] * 5))

    assert grades.scores.tolist() == [1.8, 0.75, 1, 0, 0, 0.5]


def test_metrics_per_problem() -> None:
    """Two problems with three programs each: pass@1 is 2/3 and 0, and the second problem has no speed."""
    found = Grades.of(VERDICTS, np.array([0.8, np.nan, 0.5, np.nan, np.nan, np.nan])).metrics(2)

    assert found["pass_1"].numerator == pytest.approx([2 / 3, 0])
    assert found["pass_1_forgeable"].numerator == pytest.approx([1 / 3, 0])
    assert np.isnan(found["pass_5"].numerator).all()
    assert found["tests_passed"].numerator == pytest.approx([2.75 / 3, 0.5 / 3])
    assert found["faster"].numerator == pytest.approx([0.65, np.nan], nan_ok=True)
    assert found["faster"].defined().tolist() == [True, False]
    assert found["error_wrong"].numerator == pytest.approx([1 / 3, 0])
    assert found["error_raised"].numerator == pytest.approx([0, 2 / 3])
    assert found["error_syntax"].numerator == pytest.approx([0, 1 / 3])
    assert found["error_timeout"].numerator.tolist() == [0, 0]
