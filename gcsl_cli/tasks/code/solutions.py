r"""Candidate programs from three sources: the dataset's references, files of solutions, and rollouts of the policy.

{"task_id": "HumanEval/0", "completion": "    return a + b\n"}                 a file with one solution per line
{"prompt": "def add(a, b):\n", "samples": ["    return a + b\n", "..."]}       several per line, as in CodeT
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcsl_cli.data.input_files import Fault, Faults, Row
from gcsl_cli.data.records import Generation
from gcsl_cli.errors import DataError, listed
from gcsl_cli.tasks.code.extraction import extract
from gcsl_cli.tasks.code.problems import CodeProblem
from gcsl_cli.tasks.code.row_reader import read_rows
from gcsl_cli.tasks.code.sandbox.grader import Program
from gcsl_cli.tasks.code.syntax import MAX_CHARACTERS

_TEXTS = ("completion", "solution", "samples")
_FUNCTION = re.compile(r"^(?:(?:async\s+)?def|class)\s+(\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A program for a problem."""

    problem: CodeProblem
    completion: str
    """The part after the prompt."""
    code: str
    """The complete program."""
    ended: bool
    """Whether the completion is complete, rather than cut off."""
    source: str

    @property
    def program(self) -> Program:
        """The program in the grader's form."""
        return Program(self.problem.identity, self.code)

    @staticmethod
    def from_text(problem: CodeProblem, text: str, source: str, *, ended: bool) -> "Candidate":
        """Extract the program from a text that continues the problem's prompt or answers it."""
        found = extract(problem.prompt, text, problem.entry_point)
        return Candidate(problem, found.completion, found.program, ended or found.ended, source)


def from_references(problems: Sequence[CodeProblem]) -> list[Candidate]:
    """The dataset's own solutions."""
    return [
        Candidate(problem, problem.reference, problem.prompt + problem.reference, True, "reference")
        for problem in problems
        if problem.reference
    ]


def from_file(
    path: Path, problems: Sequence[CodeProblem], chosen: set[str], limit: float, faults: Faults
) -> Iterator[Candidate]:
    """Candidates from a file of solutions: up to `limit` distinct programs of each problem in `chosen` (identities).

    Raises:
        DataError: The file cannot be read.
    """
    taken: dict[str, set[str]] = {}
    for solution in read_solutions(path, problems, faults):
        programs = taken.setdefault(solution.problem.identity, set())
        if solution.problem.identity not in chosen or len(programs) >= limit:
            continue
        candidate = Candidate.from_text(solution.problem, solution.text, "solutions", ended=True)
        if _has_program(candidate, solution.place, faults):
            programs.add(candidate.code.rstrip())
            yield candidate


def from_rollouts(
    rows: Iterable[Generation], problems: Mapping[str, CodeProblem], faults: Faults
) -> Iterator[Candidate]:
    """Candidates from sampled completions; `problems` are keyed by prompt id."""
    for row in rows:
        candidate = Candidate.from_text(problems[row.prompt_id], row.completion, "rollouts", ended=row.finished)
        if _has_program(candidate, candidate.problem.identity, faults):
            yield candidate


def distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Keep the first occurrence of each program of a problem, ignoring trailing whitespace."""
    found: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        found.setdefault((candidate.problem.identity, candidate.code.rstrip()), candidate)
    return list(found.values())


def _has_program(candidate: Candidate, place: str, faults: Faults) -> bool:
    """Whether the text contained a program; if not, count a fault."""
    if not candidate.completion.strip():
        faults.add(Fault(f"{candidate.source} without a program"), place)
    return bool(candidate.completion.strip())


@dataclass(frozen=True, slots=True)
class Solution:
    """A solution from a file, preceded by the gap after the problem's prompt."""

    problem: CodeProblem
    text: str
    place: str


def read_solutions(path: Path, problems: Sequence[CodeProblem], faults: Faults) -> Iterator[Solution]:
    """Yield the solutions of a file in order.

    A row belongs to the problem with its `task_id`, else to the one with its `prompt`. Failing that, it belongs to the
    problem whose entry point is the last function that the prompt defines; among several, to the one whose prompt has
    the longest common prefix with the row's (CodeT's prompts lack the examples of HumanEval's).

    Raises:
        DataError: The file cannot be read, or no row of it belongs to a problem.
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
        raise DataError(f"{path}: contains no solution of a known problem. {listed(faults.lines())}.")


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
            _most_similar(row["prompt"], by_name.get(names[-1], [])) if names else None
        )
    else:
        raise Fault("neither task_id nor prompt")
    if found is None:
        raise Fault("a solution of an unknown problem")
    return found


def _most_similar(prompt: str, problems: Sequence[CodeProblem]) -> CodeProblem | None:
    """The problem whose prompt has the longest common prefix with this one; None for a tie."""
    lengths = [_common_prefix(_folded(prompt), _folded(problem.prompt)) for problem in problems]
    best = [problem for problem, length in zip(problems, lengths, strict=True) if length == max(lengths)]
    return best[0] if len(best) == 1 else None


def _common_prefix(one: str, other: str) -> int:
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))


def _texts(row: Row) -> list[Any]:
    for key in _TEXTS:
        if key in row:
            return row[key] if isinstance(row[key], list) else [row[key]]
    raise Fault(f"none of the keys {', '.join(_TEXTS)}")


def _unusable(text: Any) -> str | None:
    if not isinstance(text, str):
        return "a solution that is not text"
    if not text.strip():
        return "an empty solution"
    if len(text) > MAX_CHARACTERS:
        return f"a solution of more than {MAX_CHARACTERS} characters"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a solution that cannot be encoded as UTF-8"
    return "a solution with a NUL byte" if "\0" in text else None


def _folded(prompt: str) -> str:
    return " ".join(prompt.split())
