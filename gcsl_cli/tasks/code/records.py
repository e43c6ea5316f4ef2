r"""A programming problem as tasks know it.

CodeProblem("HumanEval/0", "def add(a, b):\n    \"\"\"The sum.\"\"\"", "add", ("def check(candidate): ...",),
            setup="def add(a, b): ...\n    pass\n", reference="\n    return a + b\n", gap="\n")
"""

from dataclasses import dataclass

from gcsl_cli.tasks.code.sandbox.grader import Problem


@dataclass(frozen=True, slots=True)
class Scaling:
    """Inputs of growing size to time programs on, in the form of ENAMEL; all of it is foreign code."""

    generator: str
    """Defines `generate_input(size, lid, cid)`, which returns the arguments as a tuple."""
    sizes: tuple[int, ...]
    """One a level, growing."""
    reference: str
    """A fast program, complete with the prompt."""
    checker: str = ""
    """Defines `__check(input, answer, output)`; empty: equality."""


@dataclass(frozen=True, slots=True)
class CodeProblem:
    """A problem, its tests, and the data set's own solution."""

    identity: str
    prompt: str
    """What the model reads; programs begin with it. It ends without white space, which belongs to a program's first
    token."""
    entry_point: str
    tests: tuple[str, ...]
    """As `gcsl_cli.tasks.code.sandbox.grader.Problem` takes them."""
    setup: str = ""
    """Code before the tests, such as helper functions of the prompt."""
    reference: str = ""
    """The solution as a completion of the prompt; empty where there is none."""
    gap: str = ""
    """The white space that the data set has between prompt and solutions."""
    split: str = ""
    """The data set's own split: `train`, `validation`, `test`, `none` (in no split); empty where it has none."""
    scaling: Scaling | None = None

    def graded_by(self) -> Problem:
        """The problem as the grader takes it."""
        return Problem(self.identity, self.tests, self.entry_point, self.setup)
