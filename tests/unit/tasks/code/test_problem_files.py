"""Problems in all file formats, and unusable rows."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.errors import DataError
from gcsl_cli.tasks.code.problem_files import read_problems, read_scaling
from gcsl_cli.tasks.code.problems import CodeProblem
from gcsl_cli.tasks.code.sandbox.grader import Program, grade
from tests.unit.tasks.code.sandbox.conftest import ROOMY

PROMPT = 'import math\n\ndef add(a, b):\n    """The sum."""\n'
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": PROMPT,
    "entry_point": "add",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(0, 0) == 0\n",
    "canonical_solution": "    return a + b\n",
}
MBPP = {
    "task_id": 601,
    "text": 'Write a function "add".',
    "code": "def helper(a):\r\n    return a\r\ndef add(a, b):\r\n    return helper(a) + b",
    "test_list": ["assert add(1, 2) == 3", "assert add(2, 2) == 4"],
    "test_setup_code": "",
}
EVALPLUS = {
    "task_id": "HumanEval/0",
    "prompt": PROMPT,
    "entry_point": "add",
    "canonical_solution": "    return a + b\n",
    "base_input": [[1, 2]],
    "plus_input": [[0.1, 0.2], [[1], [2]]],
    "atol": 1e-6,
}
PLAIN = {"prompt": PROMPT, "tests": ["assert add(1, 2) == 3"], "solution": "    return a + b\n"}
ALL = {"humaneval": HUMANEVAL, "mbpp": MBPP, "evalplus": EVALPLUS, "plain": PLAIN}


def written(folder: Path, *rows: Any, name: str = "problems.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def one(folder: Path, row: Any) -> CodeProblem:
    ((problem,), faults) = read_problems(written(folder, row))
    assert not faults.total
    return problem


def verdicts(problem: CodeProblem, *codes: str) -> list[tuple[int, int]]:
    programs = [Program(problem.identity, code) for code in codes]
    found = grade(programs, {problem.identity: problem.for_grader()}, limits=ROOMY)
    return [(verdict.passed, verdict.tests) for verdict in found]


@pytest.mark.parametrize(("form", "tests"), [("humaneval", 2), ("mbpp", 2), ("evalplus", 3), ("plain", 1)])
def test_references_pass_and_wrong_programs_fail(form: str, tests: int, tmp_path: Path, bubblewrap: None) -> None:
    problem = one(tmp_path, ALL[form])
    wrong = problem.prompt + "\n    return 17\n" if "def add" in problem.prompt else "def add(a, b):\n    return 17\n"

    assert problem.entry_point == "add"
    assert verdicts(problem, problem.prompt + problem.reference, wrong) == [(tests, tests), (0, tests)]


@pytest.mark.parametrize("solution", ["class Add:\n    pass\n", "async def Add():\n    pass\n"])
def test_the_entry_point_may_be_a_class_or_a_coroutine(tmp_path: Path, solution: str) -> None:
    assert one(tmp_path, MBPP | {"test_list": ["assert Add()"], "code": solution}).entry_point == "Add"


def test_mbpp_prompts_are_docstrings(tmp_path: Path) -> None:
    problem = one(tmp_path, MBPP)

    assert problem.prompt == ('"""\nWrite a function "add".\nassert add(1, 2) == 3\nassert add(2, 2) == 4\n"""')
    assert problem.gap == "\n"
    assert problem.reference == "\ndef helper(a):\n    return a\ndef add(a, b):\n    return helper(a) + b"
    assert problem.identity == "MBPP/601"


@pytest.mark.parametrize(
    ("number", "split"),
    [(1, "none"), (10, "none"), (11, "test"), (510, "test"), (511, "validation"), (600, "validation"), (601, "train"),
     (974, "train")],
)  # fmt: skip
def test_the_official_split_of_mbpp(number: int, split: str, tmp_path: Path) -> None:
    assert one(tmp_path, MBPP | {"task_id": number}).split == split


def test_values_within_the_tolerance_of_the_dataset_pass(tmp_path: Path, bubblewrap: None) -> None:
    """The sum of the second input is off by 1e-7 or 1e-3, the tolerance is 1e-6; the third input adds lists."""
    problem = one(tmp_path, EVALPLUS)
    near = PROMPT + "    return a + b + 1e-7 if isinstance(a, float) else a + b\n"
    far = PROMPT + "    return a + b + 1e-3 if isinstance(a, float) else a + b\n"

    assert verdicts(problem, near, far) == [(3, 3), (2, 3)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"task_id": 1, "prompt": "x"}, "no tests: none of the keys"),
        (HUMANEVAL | {"test": ""}, "test is missing"),
        (HUMANEVAL | {"test": "def check(:"}, "test is not valid Python"),
        (HUMANEVAL | {"entry_point": None}, "entry_point is missing"),
        (HUMANEVAL | {"prompt": 7}, "prompt is not text"),
        ({key: value for key, value in HUMANEVAL.items() if key != "task_id"}, "task_id is missing"),
        (MBPP | {"test_list": []}, "no tests"),
        (MBPP | {"test_list": [1]}, "test_list is not a list of strings"),
        (MBPP | {"code": "x = 1"}, "no entry_point, and the tests call no function that the solution defines"),
        (EVALPLUS | {"base_input": [], "plus_input": []}, "no tests"),
        (PLAIN | {"tests": "  "}, "no tests"),
        (["no", "object"], "not a JSON object"),
    ],
)
def test_unusable_rows_are_reported_with_their_line(row: Any, reason: str, tmp_path: Path) -> None:
    problems, faults = read_problems(written(tmp_path, HUMANEVAL | {"task_id": "other"}, row))

    assert [problem.identity for problem in problems] == ["other"]
    (line,) = faults.lines()
    assert reason in line
    assert "problems.jsonl:2" in line


def test_a_repeated_problem_is_dropped(tmp_path: Path) -> None:
    problems, faults = read_problems(written(tmp_path, HUMANEVAL, HUMANEVAL))

    assert len(problems) == 1
    assert "the task_id of another problem" in faults.lines()[0]


def test_gzip_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n" + json.dumps(HUMANEVAL).encode() + b"\n\n\xff\xfe\n"))
    problems, faults = read_problems(path)

    assert [problem.identity for problem in problems] == ["HumanEval/0"]
    assert "not UTF-8 text" in faults.lines()[0]
    assert ":4" in faults.lines()[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("problems.jsonl", b"", "the file is empty"),
        ("problems.jsonl", b"{}\n", "contains no usable problem. 1 x no tests"),
        ("problems.jsonl.gz", b"not gzip", "contains no usable problem. 1 x not valid JSON"),
        ("problems.txt", b"x", "unsupported file type"),
    ],
)
def test_unusable_files(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_problems(tmp_path / name)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_problems(tmp_path / "none.jsonl")


def test_inputs_of_growing_size(tmp_path: Path) -> None:
    row = {
        "task_id": "HumanEval/0",
        "prompt": PROMPT,
        "input_generator": "def generate_input(size, lid, cid):\n    return (size, lid)\n",
        "input_levels": "10 100",
        "reference_solution": "    return a + b\n",
        "checker": "",
    }
    found, faults = read_scaling(written(tmp_path, row, row | {"task_id": "HumanEval/1", "input_levels": "ten"}))

    assert found["HumanEval/0"].sizes == (10, 100)
    assert found["HumanEval/0"].reference == PROMPT + "\n    return a + b\n"
    assert faults.counts == {"input_levels contains something other than integers": 1}
