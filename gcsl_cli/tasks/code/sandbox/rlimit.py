"""No walls: an interpreter that limits itself, for people who say that this is enough."""

import logging

from gcsl_cli.tasks.code.sandbox.bubblewrap import interpreter
from gcsl_cli.tasks.code.sandbox.engine import Engine

log = logging.getLogger("gcsl")


def engine() -> Engine:
    """A plain process; says each time what that means."""
    log.warning(
        "task.sandbox.kind=rlimit: programs run with your rights. They can read and change your files and use the "
        "network; only time, memory, files and processes are limited. Use task.sandbox.kind=bubblewrap for code that "
        "you do not know."
    )
    return Engine("rlimit", [str(interpreter()[1])])
