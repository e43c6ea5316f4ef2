"""Limits and the verdicts on all hostile programs, shared across the sandbox tests."""

import pytest

from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict, grade
from gcsl_cli.tasks.code.sandbox.limits import MEBIBYTE, Limits

SHORT = Limits(
    cpu_seconds=1,
    wall_seconds=2,
    memory_bytes=256 * MEBIBYTE,
    file_bytes=4 * MEBIBYTE,
    open_files=64,
    processes=16,
    output_bytes=MEBIBYTE,
)
ROOMY = Limits(cpu_seconds=10, wall_seconds=60)


@pytest.fixture(scope="session")
def hostile_verdicts(bubblewrap: None) -> dict[str, Verdict]:
    """Grade all hostile programs with one worker; an honest program after each must still be solved."""
    from tests.unit.tasks.code.sandbox.hostile import TESTS, programs

    problems = {"hostile": Problem("hostile", (TESTS,), "solve"), "honest": Problem("honest", HONEST, "add")}
    honest = Program("honest", "def add(a, b):\n    return a + b\n")
    rows = [row for code in programs().values() for row in (Program("hostile", code), honest)]
    verdicts = list(grade(rows, problems, limits=SHORT))
    for name, verdict in zip(programs(), verdicts[1::2], strict=True):
        assert verdict.solved, f"an honest program after {name}: {verdict}"
    return dict(zip(programs(), verdicts[::2], strict=True))


HONEST = ("assert add(1, 2) == 3", "assert add('a', 'b') == 'ab'")
