"""Programs that attack the sandbox or the grader, one attack each; `hostile_programs/*.txt` has one group per file.

    #### tcp
    import socket
    def solve(n):
        socket.create_connection(('1.1.1.1', 80), 1)
        return 'ESCAPED'

The first test expects `solve(1)` to return "ESCAPED", which a program does if its attack succeeded. The second expects
`solve(2)` to return a value that only the tests know. A passed test therefore reveals a hole: the first one in the
sandbox, the second one in the grader. A program that attacks a particular test starts with that test: `# test: ...`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gcsl_cli.tasks.code.sandbox.backends import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict, grade
from gcsl_cli.tasks.code.sandbox.limits import MEBIBYTE, Limits

SECRET = "b1946ac92492d2347c6235b4d2611184"
TESTS = f"""
def check(candidate):
    expected = "{SECRET}"
    assert candidate(1) == "ESCAPED"
    assert candidate(2) == expected
"""
OWN_TEST = "# test: "
FOLDER = Path(__file__).with_name("hostile_programs")
# Errors allowed in the verdicts of a group; the other groups may have any error but "".
ALLOWED = {
    "network": {"forbidden", "exception"},
    "bomb": {"timeout", "memory", "processes", "disk", "open files", "forbidden", "syntax", "exception", "crash"},
    "outliving": {"timeout", "exit", "exception", "processes"},
    "output": {"timeout", "output", "forbidden"},
    "values": {"timeout", "memory", "wrong answer", "outside", "forbidden"},
}
FORGEABLE = "executing"
"""The group that attacks tests which execute answers. Such verdicts can be forged, but are marked."""
SHORT = Limits(
    cpu_seconds=1,
    wall_seconds=2,
    memory_bytes=256 * MEBIBYTE,
    file_bytes=4 * MEBIBYTE,
    open_files=64,
    processes=16,
    output_bytes=MEBIBYTE,
)
# Passes one of two tests as long as the attack before it has changed nothing.
AFTER = Program("after", "def add(a, b):\n    return a + b\n")
AFTER_TESTS = Problem("after", ("assert add(1, 2) == 3", "assert add(1, 2) == 4"), "add")


@dataclass(frozen=True, slots=True)
class Attack:
    """One program."""

    group: str
    name: str
    code: str

    def problem(self) -> Problem:
        """The tests that it attacks."""
        own = [line.removeprefix(OWN_TEST) for line in self.code.splitlines() if line.startswith(OWN_TEST)]
        return Problem(f"{self.group}: {self.name}", tuple(own) or (TESTS,), "solve")

    def result(self, verdict: Verdict, after: Verdict) -> str:
        """What did not hold, given its verdict and that on `AFTER`; empty if everything did."""
        if (after.passed, after.tests, after.error, after.test) != (1, 2, "wrong answer", 1):
            return f"the verdict after it is wrong: {after.passed} of {after.tests} passed, {after.cause or 'no error'}"
        if self.group == FORGEABLE:
            return "" if verdict.together or not verdict.passed else "forged, and not marked"
        if verdict.passed or verdict.together:
            return f"passed {verdict.passed} of {verdict.tests} tests" + ", marked" * verdict.together
        unexpected = not verdict.error or verdict.error not in ALLOWED.get(self.group, {verdict.error})
        return f"ended as {verdict.cause or 'no error'}" if unexpected else ""


def attacks() -> list[Attack]:
    """All programs."""
    found = []
    for path in sorted(FOLDER.glob("*.txt")):
        for section in path.read_text(encoding="utf-8").split("#### ")[1:]:
            name, _, code = section.partition("\n")
            found.append(Attack(path.stem, name, code))
    return found


def run(chosen: Sequence[Attack], sandbox: Sandbox | None = None) -> Iterator[tuple[Verdict, Verdict]]:
    """Run attacks one after another; yields the verdict on each and that on `AFTER` after it.

    Raises:
        DependencyError: The sandbox does not work here.
    """
    problems = {problem.identity: problem for problem in (AFTER_TESTS, *(attack.problem() for attack in chosen))}
    programs = [one for attack in chosen for one in (Program(attack.problem().identity, attack.code), AFTER)]
    verdicts = grade(programs, problems, limits=SHORT, sandbox=sandbox)
    yield from zip(verdicts, verdicts, strict=True)
