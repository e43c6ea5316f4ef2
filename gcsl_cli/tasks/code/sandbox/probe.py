"""Check whether the sandbox works on this machine by running a program in it."""

from gcsl_cli.errors import DependencyError, GcslError
from gcsl_cli.tasks.code.sandbox.backends import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, grade
from gcsl_cli.tasks.code.sandbox.limits import Limits
from gcsl_cli.tasks.code.sandbox.worker_client import INSTALL

# Returns 3 if it could start sixty processes and 2 if the process limit stopped it.
_PROGRAM = """
import os, time

def started():
    children = []
    try:
        for _ in range(60):
            child = os.fork()
            if not child:
                time.sleep(60)
            children.append(child)
    except OSError:
        return 2
    return 3
"""
_TESTS = ("assert started() in (2, 3)", "assert started() == 2")
_REMEDY = (
    f"Install bubblewrap ({INSTALL}); if the system or a container forbids user namespaces, allow them, or choose "
    "task.sandbox.kind=docker."
)


def why_not(sandbox: Sandbox | None = None) -> str:
    """Why the sandbox does not work and how to fix it, from running a program that tries to exceed its process limit.

    Empty if the sandbox works.
    """
    chosen = sandbox or Sandbox()
    problem = Problem("probe", _TESTS, "started")
    limits = Limits(cpu_seconds=10, wall_seconds=60, processes=8)
    try:
        (verdict,) = grade([Program("probe", _PROGRAM)], {"probe": problem}, limits=limits, sandbox=chosen)
    except GcslError as error:
        return str(error)
    if verdict.solved or (chosen.kind == "rlimit" and verdict.passed):
        return ""
    if verdict.passed:
        return f"task.sandbox.kind={chosen.kind} does not limit the number of processes here"
    return f"task.sandbox.kind={chosen.kind} cannot run a trivial program here: {verdict.cause}. {_REMEDY}"


def require(sandbox: Sandbox | None = None) -> None:
    """Raise `DependencyError`, which says how to install it, unless the sandbox works."""
    if reason := why_not(sandbox):
        raise DependencyError(f"{reason.removesuffix('.')}. No program was run.")
