"""Roomy limits and the results of all hostile programs, shared across the sandbox tests."""

import pytest

from gcsl_cli.tasks.code.sandbox.grader import Verdict
from gcsl_cli.tasks.code.sandbox.hostile import Attack, attacks, run
from gcsl_cli.tasks.code.sandbox.limits import Limits

ROOMY = Limits(cpu_seconds=10, wall_seconds=60)


@pytest.fixture(scope="session")
def hostile_verdicts(bubblewrap: None) -> dict[Attack, tuple[Verdict, Verdict]]:
    """The verdict on each hostile program and on the program after it; one worker grades them all."""
    return dict(zip(attacks(), run(attacks()), strict=True))
