r"""Solutions that somebody sampled, from files: which problem each belongs to.

{"task_id": "HumanEval/0", "completion": "    return a + b\n"}                 one a line
{"prompt": "def add(a, b):\n", "samples": ["    return a + b\n", "..."]}       many a line, as in CodeT
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcsl_cli.data.input_files import Fault, Faults
from gcsl_cli.errors import DataError, listed
from gcsl_cli.tasks.code.definitions import LONGEST
from gcsl_cli.tasks.code.lines import Row, read_rows
from gcsl_cli.tasks.code.records import CodeProblem

_TEXTS = ("completion", "solution", "samples")
_FUNCTION = re.compile(r"^def\s+(\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Solution:
    """What somebody wrote for a problem, with the gap after its prompt."""

    problem: CodeProblem
    text: str
    place: str


def read_solutions(path: Path, problems: Sequence[CodeProblem], faults: Faults) -> Iterator[Solution]:
    """The solutions of a file in order.

    A row's problem is the one of its `task_id`, else the one with its `prompt`, else, of those whose entry point is the
    last function that the prompt defines, the one whose prompt agrees the longest from its beginning (CodeT's prompts
    lack the examples of HumanEval's).

    Raises:
        DataError: the file cannot be read.
    """
    by_identity = {problem.identity: problem for problem in problems}
    by_prompt = {_folded(problem.prompt): problem for problem in problems}
    by_name: dict[str, list[CodeProblem]] = {}
    for problem in problems:
        by_name.setdefault(problem.entry_point, []).append(problem)
    known = False
    for row, place in read_rows(path, faults):
        try:
            problem = _problem(row, by_identity, by_prompt, by_name)
            texts = _texts(row)
        except Fault as fault:
            faults.add(fault, place)
            continue
        known = True
        for number, text in enumerate(texts):
            where = f"{place}, sample {number}" if len(texts) > 1 else str(place)
            if (reason := _unusable(text)) is not None:
                faults.add(Fault(reason), where)
            else:
                yield Solution(problem, problem.gap + text, where)
    if not known:
        raise DataError(f"{path}: no solution in it belongs to a problem. {listed(faults.lines())}.")


def _problem(
    row: Row,
    by_identity: dict[str, CodeProblem],
    by_prompt: dict[str, CodeProblem],
    by_name: dict[str, list[CodeProblem]],
) -> CodeProblem:
    if row.get("task_id") is not None:
        identity = str(row["task_id"])
        found = by_identity.get(identity) or by_identity.get(f"MBPP/{identity}")
    elif isinstance(row.get("prompt"), str):
        names = _FUNCTION.findall(row["prompt"])
        found = by_prompt.get(_folded(row["prompt"])) or (
            _likest(row["prompt"], by_name.get(names[-1], [])) if names else None
        )
    else:
        raise Fault("neither task_id nor prompt")
    if found is None:
        raise Fault("of a problem that is not known")
    return found


def _likest(prompt: str, problems: Sequence[CodeProblem]) -> CodeProblem | None:
    """The problem whose prompt agrees the longest; `None` where two agree as long."""
    agreeing = [_agreeing(_folded(prompt), _folded(problem.prompt)) for problem in problems]
    likest = [problem for problem, length in zip(problems, agreeing, strict=True) if length == max(agreeing)]
    return likest[0] if len(likest) == 1 else None


def _agreeing(one: str, other: str) -> int:
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))


def _texts(row: Row) -> list[Any]:
    for key in _TEXTS:
        if key in row:
            value = row[key]
            return value if isinstance(value, list) else [value]
    raise Fault(f"none of the keys {', '.join(_TEXTS)}")


def _unusable(text: Any) -> str | None:
    if not isinstance(text, str):
        return "a solution that is no text"
    if not text.strip():
        return "an empty solution"
    if len(text) > LONGEST:
        return f"a solution of more than {LONGEST} characters"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a solution that cannot be written as UTF-8"
    return "a solution with a NUL byte" if "\0" in text else None


def _folded(prompt: str) -> str:
    return " ".join(prompt.split())
