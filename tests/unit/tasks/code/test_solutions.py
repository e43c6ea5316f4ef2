"""Which problem a solution belongs to, and solutions that cannot be used."""

import json
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.data.input_files import Faults
from gcsl_cli.errors import DataError
from gcsl_cli.tasks.code.definitions import LONGEST
from gcsl_cli.tasks.code.records import CodeProblem
from gcsl_cli.tasks.code.solutions import read_solutions

ADD = CodeProblem(
    "T/0", 'def add(a, b):\n    """The sum.\n    >>> add(1, 2)\n    3\n    """\n', "add", ("assert add(1, 2)",)
)
JOIN = CodeProblem("T/1", 'def add(a, b):\n    """One list from two."""\n', "add", ("assert add([1], [2])",))
TWICE = CodeProblem("MBPP/7", '"""\nTwice a number.\n"""\n', "twice", ("assert twice(1)",))


def read(folder: Path, *rows: Any) -> tuple[list[tuple[str, str]], Faults]:
    path = folder / "solutions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    faults = Faults()
    found = [(made.problem.identity, made.text) for made in read_solutions(path, [ADD, JOIN, TWICE], faults)]
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
    """Without its examples a prompt is told from others of the same name by how long it agrees."""
    found, faults = read(tmp_path, {"task_id": "T/0", "completion": "known"}, key | {"completion": "x"})

    assert found[1:] == ([] if identity is None else [(identity, "x")])
    assert faults.counts == ({"of a problem that is not known": 1} if identity is None else {})


def test_samples_and_what_cannot_be_used(tmp_path: Path) -> None:
    samples = ["return 1", "", 7, "x" * (LONGEST + 1), "\ud800", "\0", "return 2"]
    found, faults = read(tmp_path, {"task_id": "T/0", "samples": samples}, {"completion": "x"}, {"task_id": "T/0"})

    assert found == [("T/0", "return 1"), ("T/0", "return 2")]
    assert faults.counts == {
        "an empty solution": 1,
        "a solution that is no text": 1,
        f"a solution of more than {LONGEST} characters": 1,
        "a solution that cannot be written as UTF-8": 1,
        "a solution with a NUL byte": 1,
        "neither task_id nor prompt": 1,
        "none of the keys completion, solution, samples": 1,
    }
    assert any("solutions.jsonl:1, sample 1" in line for line in faults.lines())


def test_a_file_for_other_problems(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no solution in it belongs to a problem\. 1 x of a problem that is not known"):
        read(tmp_path, {"task_id": "other", "completion": "x"})
