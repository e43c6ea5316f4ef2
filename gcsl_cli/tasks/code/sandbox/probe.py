"""Whether programs can be run here, found out by running one."""

from dataclasses import dataclass

from gcsl_cli.errors import DependencyError, GcslError
from gcsl_cli.tasks.code.sandbox.engine import Kind, Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict, grade
from gcsl_cli.tasks.code.sandbox.limits import Limits
from gcsl_cli.tasks.code.sandbox.remote import INSTALL

# Says 3 where sixty processes could be started, 2 where the limit of processes held.
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


@dataclass(frozen=True, slots=True)
class Status:
    """Whether a sandbox works; if not, why, and what to do."""

    works: bool
    reason: str = ""


def working(sandbox: Sandbox | None = None) -> Status:
    """Run a program that starts more processes than it may, and look at what it says."""
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
    return Status(False, f"task.sandbox.kind={kind} does not run a trivial program here ({detail}). {_REMEDY}")


_REMEDY = (
    f"Install bubblewrap ({INSTALL}); where containers or the system forbid user namespaces, allow them, or choose "
    "task.sandbox.kind=docker."
)


def require(sandbox: Sandbox | None = None) -> None:
    """Do nothing where the sandbox works.

    Raises:
        DependencyError: it does not; the message says how to install it.
    """
    status = working(sandbox)
    if not status.works:
        raise DependencyError(f"{status.reason}. No program was run.")
