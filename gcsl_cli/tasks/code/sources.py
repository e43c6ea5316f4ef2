"""Where graded programs come from: the data set's own solutions, solutions from a file, rollouts of the policy."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gcsl_cli.data.input_files import Fault, Faults
from gcsl_cli.data.records import Generation
from gcsl_cli.tasks.code.extraction import extract
from gcsl_cli.tasks.code.records import CodeProblem
from gcsl_cli.tasks.code.sandbox.grader import Program
from gcsl_cli.tasks.code.solutions import read_solutions


@dataclass(frozen=True, slots=True)
class Attempt:
    """A program for a problem."""

    problem: CodeProblem
    completion: str
    """What follows the prompt."""
    code: str
    """The whole program."""
    ended: bool
    """Whether the completion is whole."""
    source: str

    @property
    def program(self) -> Program:
        """As the grader takes it."""
        return Program(self.problem.identity, self.code)


def attempt(problem: CodeProblem, text: str, source: str, *, ended: bool) -> Attempt:
    """What a text that goes on with the problem's prompt, or answers it, comes to."""
    made = extract(problem.prompt, text, problem.entry_point)
    return Attempt(problem, made.completion, made.program, ended or made.ended, source)


def references(problems: Sequence[CodeProblem]) -> list[Attempt]:
    """The data set's own solutions."""
    return [
        Attempt(problem, problem.reference, problem.prompt + problem.reference, True, "reference")
        for problem in problems
        if problem.reference
    ]


def given(
    path: Path, problems: Sequence[CodeProblem], chosen: set[str], most: float, faults: Faults
) -> Iterator[Attempt]:
    """Solutions of a file.

    Args:
        path: the file.
        problems: all that are known.
        chosen: identities of the problems whose solutions are taken.
        most: distinct programs a problem at most.
        faults: takes what cannot be used.

    Raises:
        DataError: the file cannot be read.
    """
    taken: dict[str, set[str]] = {}
    for solution in read_solutions(path, problems, faults):
        programs = taken.setdefault(solution.problem.identity, set())
        if solution.problem.identity not in chosen or len(programs) >= most:
            continue
        made = attempt(solution.problem, solution.text, "solutions", ended=True)
        if _says_something(made, solution.place, faults):
            programs.add(made.code.rstrip())
            yield made


def sampled(rows: Iterable[Generation], problems: Mapping[str, CodeProblem], faults: Faults) -> Iterator[Attempt]:
    """Rollouts, by the identity of their prompt."""
    for row in rows:
        made = attempt(problems[row.prompt_id], row.completion, "rollouts", ended=row.finished)
        if _says_something(made, made.problem.identity, faults):
            yield made


def _says_something(made: Attempt, place: str, faults: Faults) -> bool:
    """Whether there is a program in it; if not, that is counted."""
    if not made.completion.strip():
        faults.add(Fault(f"{made.source} without a program in it"), place)
    return bool(made.completion.strip())


def distinct(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Each program of a problem once, where it came first; white space at its end makes no other one."""
    found: dict[tuple[str, str], Attempt] = {}
    for made in attempts:
        found.setdefault((made.problem.identity, made.code.rstrip()), made)
    return list(found.values())
