r"""The share of unit tests that a program passes in the sandbox, as a scorer for prompts of any task.

The tests are columns of the prompt's row: `tests`, or those of HumanEval, MBPP and EvalPlus (`problem_files.py`).

    Example("Write add(a, b).", "def add(a, b):\n    return a + b", columns={"tests": ["assert add(1, 2) == 3"]})
"""

import ast
import builtins
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from gcsl_cli.data.input_files import Fault
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.cached import CachedScorer, Done
from gcsl_cli.tasks.code.extraction import extract
from gcsl_cli.tasks.code.problem_files import TEST_COLUMNS, problem_of, stub
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program
from gcsl_cli.tasks.code.unit_tests import SHARD, SandboxConfig, UnitTestGrader

VERSION = 2
"""Part of the identity of kept grades; increment it when a program may get another grade than before."""
UNUSABLE = ("tests", "no tests")
"""Errors of a verdict that are the fault of the tests."""


@dataclass
class UnitTestsScorer(CachedScorer):
    """Runs the program in each completion against its prompt's tests."""

    name: str = "unit_tests"
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)

    needs_columns: ClassVar[tuple[str, ...]] = TEST_COLUMNS

    def grade_new(self, examples: Sequence[Example], done: Done) -> None:
        """Run one batch after another; without usable tests, there is no grade."""
        problems: dict[str, Problem] = {}
        programs: dict[int, Program] = {}
        for index, example in enumerate(examples):
            try:
                problem, program = _problem_and_program(example)
            except Fault as fault:
                self.ungraded[fault.kind] += 1
                done([index], [np.nan])
                continue
            problems[problem.identity], programs[index] = problem, program
        grader = UnitTestGrader(problems, self.sandbox)
        indices = list(programs)
        for start in range(0, len(indices), SHARD):
            part = indices[start : start + SHARD]
            verdicts = grader([programs[index] for index in part])
            grades = [np.nan if one.error in UNUSABLE else one.passed / max(one.tests, 1) for one in verdicts]
            if missing := int(np.isnan(grades).sum()):
                self.ungraded["its tests cannot be run"] += missing
            done(part, grades)

    def keys(self) -> dict[str, Any]:
        """Without the number of workers, which changes no grade."""
        return super().keys() | {"version": VERSION, "sandbox": self.sandbox.keys()}

    def check(self) -> None:
        """Raise `ConfigError` if a limit is too low or the kind of sandbox is unknown."""
        self.sandbox.check("scorer")

    def limits(self) -> tuple[float, float]:
        """A share."""
        return 0.0, 1.0


def _problem_and_program(example: Example) -> tuple[Problem, Program]:
    """The tests of an example, with a hash of them as their identity, and the program in its completion.

    Raises:
        Fault: the row has no tests, or they are not valid.
    """
    prompt = example.conversation()[-1]["content"] if example.format == "messages" else example.prompt
    solutions = dict.fromkeys(("solution", "canonical_solution", "code"), example.reference)
    row = {"task_id": "prompt", **solutions, **example.columns, "prompt": prompt, "text": prompt}
    if not row.get("entry_point"):
        row["entry_point"] = _first_called(row)
    problem = problem_of(row)
    tests = problem.for_grader()
    identity = tests.key()
    started = prompt if stub(prompt) else ""  # other prompts are no part of the program
    program = extract(started, example.completion, tests.entry_point).program
    return replace(tests, identity=identity), Program(identity, program)


def _first_called(row: dict[str, Any]) -> str | None:
    """The first function that a list of tests calls and neither Python nor the tests define."""
    tests = row.get("tests", row.get("test_list"))
    try:
        trees = [ast.parse(test) for test in ([tests] if isinstance(tests, str) else tests or [])]
    except (SyntaxError, TypeError, ValueError, RecursionError):
        return None
    nodes = [node for tree in trees for node in ast.walk(tree)]
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)} | set(dir(builtins))
    calls = [node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return next((name for name in calls if name not in defined), None)
