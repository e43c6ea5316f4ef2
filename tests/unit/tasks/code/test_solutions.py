"""Candidates from references, files and rollouts; the problem of each solution; unusable solutions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.data.input_files import Faults
from gcsl_cli.data.records import Generation
from gcsl_cli.errors import DataError
from gcsl_cli.tasks.code.problems import CodeProblem
from gcsl_cli.tasks.code.solutions import distinct, from_file, from_references, from_rollouts, read_solutions
from gcsl_cli.tasks.code.syntax import MAX_CHARACTERS

ADD = CodeProblem(
    "T/0", 'def add(a, b):\n    """The sum.\n    >>> add(1, 2)\n    3\n    """\n', "add", ("assert add(1, 2)",)
)
JOIN = CodeProblem("T/1", 'def add(a, b):\n    """One list from two."""\n', "add", ("assert add([1], [2])",))
TWICE = CodeProblem("MBPP/7", '"""\nTwice a number.\n"""\n', "twice", ("assert twice(1)",))
SUM = CodeProblem("T/0", "def add(a, b):", "add", ("assert add(1, 2) == 3",), reference="\n    return a + b", gap="\n")
IDENTITY = CodeProblem("T/1", "def other(a):", "other", ("assert other(1)",), gap="\n")
RIGHT, LATE = "    return a + b", "    return a + b\n\nprint(add(1, 2))"


def read(folder: Path, *rows: Any) -> tuple[list[tuple[str, str]], Faults]:
    path = folder / "solutions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    faults = Faults()
    found = [(one.problem.identity, one.text) for one in read_solutions(path, [ADD, JOIN, TWICE], faults)]
    return found, faults


@pytest.mark.parametrize(
    ("key", "identity"),
    [
        ({"task_id": "T/1"}, "T/1"),
        ({"task_id": 7}, "MBPP/7"),
        ({"prompt": ADD.prompt.replace("\n", "\n\n")}, "T/0"),
        ({"prompt": 'def add(a, b):\n    """The sum.\n    """\n'}, "T/0"),
        ({"prompt": 'import os\n\ndef add(a, b):\n    """One list from two."""\n'}, None),
        ({"prompt": 'def add(a, b):\n    """One list from both."""\n'}, "T/1"),
        ({"prompt": "def add(a, b):\n"}, None),
        ({"prompt": "def other():\n"}, None),
        ({"task_id": "T/2", "prompt": ADD.prompt}, None),
    ],
)
def test_the_problem_of_a_row(key: dict[str, Any], identity: str | None, tmp_path: Path) -> None:
    """A prompt without examples belongs to the problem with the longest common prefix among those of its function."""
    found, faults = read(tmp_path, {"task_id": "T/0", "completion": "known"}, key | {"completion": "x"})

    assert found[1:] == ([] if identity is None else [(identity, "x")])
    assert faults.counts == ({"a solution of an unknown problem": 1} if identity is None else {})


def test_unusable_samples(tmp_path: Path) -> None:
    samples = ["return 1", "", 7, "x" * (MAX_CHARACTERS + 1), "\ud800", "\0", "return 2"]
    found, faults = read(tmp_path, {"task_id": "T/0", "samples": samples}, {"completion": "x"}, {"task_id": "T/0"})

    assert found == [("T/0", "return 1"), ("T/0", "return 2")]
    assert faults.counts == {
        "an empty solution": 1,
        "a solution that is not text": 1,
        f"a solution of more than {MAX_CHARACTERS} characters": 1,
        "a solution that cannot be encoded as UTF-8": 1,
        "a solution with a NUL byte": 1,
        "neither task_id nor prompt": 1,
        "none of the keys completion, solution, samples": 1,
    }
    assert any("solutions.jsonl:1, sample 1" in line for line in faults.lines())


def test_a_file_for_other_problems(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"contains no solution of a known problem\. 1 x a solution of an unknown"):
        read(tmp_path, {"task_id": "other", "completion": "x"})


def candidates(folder: Path, *samples: str, limit: float = np.inf) -> tuple[list[str], Faults]:
    path = folder / "solutions.jsonl"
    rows = [{"task_id": "T/0", "samples": samples}, {"task_id": "T/1", "completion": "    return a"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    faults = Faults()
    return [one.completion for one in from_file(path, [SUM, IDENTITY], {"T/0"}, limit, faults)], faults


def test_solutions_of_chosen_problems_up_to_a_limit(tmp_path: Path) -> None:
    """The second sample equals the first apart from a print; solutions of other problems are not faults."""
    found, faults = candidates(tmp_path, RIGHT, LATE, "    return 1", "    return 2", limit=2)

    assert [text.strip() for text in found] == ["return a + b", "return a + b", "return 1"]
    assert not faults.total


def test_texts_without_a_program_are_counted(tmp_path: Path) -> None:
    found, faults = candidates(tmp_path, "print(1)\n", RIGHT)
    rollout = Generation("id", SUM.prompt, 0, "\nprint(1)\n", 4, True)

    assert len(found) == 1
    assert not list(from_rollouts([rollout], {"id": SUM}, faults))
    assert faults.counts == {"solutions without a program": 1, "rollouts without a program": 1}


def test_the_first_of_equal_programs_is_kept() -> None:
    rollout = Generation("id", SUM.prompt, 0, "\n    return a + b", 4, False)
    own, again = from_references([SUM, IDENTITY]), list(from_rollouts([rollout], {"id": SUM}, Faults()))

    assert [one.source for one in distinct([*own, *again])] == ["reference"]
    assert own[0].program == again[0].program
