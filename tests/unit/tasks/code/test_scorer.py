"""Unit tests as a scorer: which tests and which program an example has, and grades of real programs in the sandbox."""

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.errors import ConfigError
from gcsl_cli.scorers.base import Example
from gcsl_cli.tasks.code import scorer as scorer_module
from gcsl_cli.tasks.code import unit_tests
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict
from gcsl_cli.tasks.code.scorer import UnitTestsScorer
from gcsl_cli.tasks.code.unit_tests import SandboxConfig

ADD = ["assert add(1, 2) == 3", "assert add(0, -1) == -1"]
INC = 'def inc(x):\n    """Add one."""\n'


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path))


def example(completion: str, prompt: str = "Add two numbers.", **columns: Any) -> Example:
    return Example(prompt, completion, columns=columns)


def test_the_grade_is_the_share_of_tests_passed() -> None:
    """Really run; in an answer with prose, the code block counts."""
    scorer = UnitTestsScorer()
    grades = scorer(
        [
            example("Sure:\n```python\ndef add(a, b):\n    return a + b\n```\nDone.", tests=ADD),
            example("def add(a, b):\n    return a * b + 1", tests=ADD),
            example("I do not know.", tests=ADD),
            example(
                "    return x + 1\n", INC, test="def check(candidate):\n    assert candidate(1) == 2", entry_point="inc"
            ),
            example("def sub(a, b): return a - b", test_list=["assert sub(2, 1) == 1"]),
        ]
    )

    assert grades.tolist() == [1.0, 0.5, 0.0, 1.0, 1.0]
    assert not scorer.ungraded
    assert scorer.limits() == (0, 1)


def test_a_program_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process as in the next, which finds the grade on the disk."""
    run: list[str] = []

    def grade(programs: Iterable[Program], problems: Mapping[str, Problem], **_: Any) -> Generator[Verdict, None, None]:
        for program in programs:
            run.append(program.code)
            yield Verdict(1, len(problems[program.identity].tests), "", "", -1, 0.0, 0.0, False)

    monkeypatch.setattr(unit_tests, "grade", grade)
    asked = [example("def add(a, b): ...", tests=ADD)] * 2
    first, second = UnitTestsScorer(), UnitTestsScorer(sandbox=SandboxConfig(workers=1))

    assert first(asked).tolist() == second(asked).tolist() == [0.5, 0.5]
    assert (len(run), second.looked_up) == (1, 1)
    assert UnitTestsScorer(sandbox=SandboxConfig(cpu_seconds=1.0)).keys() != first.keys()


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({}, "no tests: none of the keys test_list, base_input, tests, test"),
        ({"tests": []}, "no tests"),
        ({"tests": [1]}, "tests is not a list of strings"),
        ({"tests": ["assert ("]}, "tests is not valid Python: '(' was never closed (<unknown>, line 1)"),
        ({"tests": ["assert len([])"]}, "no entry_point, and the tests call no function that the solution defines"),
    ],
)
def test_without_usable_tests_there_is_no_grade(columns: dict[str, Any], reason: str) -> None:
    scorer = UnitTestsScorer()

    assert np.isnan(scorer([example("def add(a, b): return a + b", **columns)])).all()
    assert dict(scorer.ungraded) == {reason: 1}


def test_tests_that_fail_by_themselves_grade_nothing() -> None:
    scorer = UnitTestsScorer()

    assert np.isnan(scorer([example("def add(a, b): return 0", tests=ADD, setup="import no_such_module")])).all()
    assert dict(scorer.ungraded) == {"its tests cannot be run": 1}


def test_the_function_is_the_first_that_the_tests_call_and_do_not_define() -> None:
    tests = ["def close(a, b):\n    return abs(a - b) < 1\nassert close(float(half(3)), 1.5)"]

    assert UnitTestsScorer()([example("def half(x): return x / 2", tests=tests)]).tolist() == [1.0]


def test_a_conversation_is_answered_to_its_last_message() -> None:
    """The message ends inside the function, which the completion continues."""
    prompt = '[{"role": "system", "content": "Code."}, {"role": "user", "content": "def one():\\n"}]'
    asked = Example(prompt, "    return 1\n", columns={"tests": ["assert one() == 1"]}, format="messages")

    assert UnitTestsScorer()([asked]).tolist() == [1.0]


def test_a_new_version_grades_programs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = UnitTestsScorer().keys()
    monkeypatch.setattr(scorer_module, "VERSION", 3)

    assert UnitTestsScorer().keys() != before


@pytest.mark.parametrize(("key", "value"), [("workers", 0), ("kind", "jail")])
def test_a_setting_that_cannot_be_used_names_its_key(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^scorer\.sandbox\.{key}={value}: "):
        UnitTestsScorer(sandbox=SandboxConfig(**{key: value})).check()
