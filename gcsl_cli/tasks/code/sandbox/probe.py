"""Check whether the sandbox works on this machine by running a program in it."""

from dataclasses import dataclass

from gcsl_cli.errors import DependencyError, GcslError
from gcsl_cli.tasks.code.sandbox.backends import Kind, Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict, grade
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


@dataclass(frozen=True, slots=True)
class Status:
    """Whether the sandbox works and, if not, why and how to fix it."""

    works: bool
    reason: str = ""


def working(sandbox: Sandbox | None = None) -> Status:
    """Run a program that tries to exceed its process limit."""
    chosen = sandbox or Sandbox()
    problem = Problem("probe", _TESTS, "started")
    limits = Limits(cpu_seconds=10, wall_seconds=60, processes=8)
    try:
        (verdict,) = grade([Program("probe", _PROGRAM)], {"probe": problem}, limits=limits, sandbox=chosen)
    except GcslError as error:
        return Status(False, str(error))
    return _status(chosen.kind, verdict)


def _status(kind: Kind, verdict: Verdict) -> Status:
    if verdict.solved or (kind == "rlimit" and verdict.passed):
        return Status(True)
    if verdict.passed:
        return Status(False, f"task.sandbox.kind={kind} does not limit the number of processes here")
    detail = f"{verdict.error} {verdict.message}".strip()
    return Status(False, f"task.sandbox.kind={kind} cannot run a trivial program here ({detail}). {_REMEDY}")


def require(sandbox: Sandbox | None = None) -> None:
    """Raise unless the sandbox works.

    Raises:
        DependencyError: It does not work; the message says how to install it.
    """
    status = working(sandbox)
    if not status.works:
        raise DependencyError(f"{status.reason}. No program was run.")
