"""Watch what a sandbox uses as a whole; the kernel's own limits are per process or leave out the number of files."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gcsl_cli.tasks.code.sandbox.backends import ENVIRONMENT
from gcsl_cli.tasks.code.sandbox.process import IDLE_SECONDS, Process

# Seconds between two looks. Most programs are done before the first one.
INTERVAL = IDLE_SECONDS
BLOCK = 4096
FEWEST_FILES = 64


@dataclass(slots=True)
class Watch:
    """The limits of one sandbox."""

    process: Process
    cpu_seconds: float
    """Maximum CPU time of all processes together, rounded up like the kernel's limit."""
    memory_bytes: int
    """Maximum address space of all processes together."""
    file_bytes: int
    """Size of the temporary folder. It may hold as many files as it has blocks."""
    next_look: float = field(default_factory=lambda: time.monotonic() + INTERVAL)

    def exceeded(self) -> str:
        """The exceeded limit as a verdict's kind of error; empty if there is none or the last look was just now."""
        if (now := time.monotonic()) < self.next_look:
            return ""
        self.next_look = now + INTERVAL
        if not (first := self.process.first_process):
            return ""
        pids = family(first)
        if sum(map(cpu_seconds, pids)) > self.cpu_seconds + 1:
            return "timeout"
        sizes = list(map(address_space, pids))
        if len(sizes) > 1 and sum(sizes) > self.memory_bytes:
            return "memory"
        # Other kinds of sandbox do not have a temporary folder of their own, or limit it themselves.
        if self.process.backend.kind == "bubblewrap" and files(first) > max(self.file_bytes // BLOCK, FEWEST_FILES):
            return "disk"
        return ""


def family(first: int) -> list[int]:
    """Pids of a process and all its descendants, as far as they can be seen."""
    found = [first]
    for pid in found:
        for thread in Path(f"/proc/{pid}/task").glob("*/children"):
            # Processes may end at any time.
            with suppress(OSError):
                found += map(int, thread.read_bytes().split())
    return found


def address_space(pid: int) -> int:
    """Bytes of address space of a process; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of those of its children that it has waited for; 0 if it is gone."""
    try:
        # The name of the process, in parentheses, may contain anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def files(pid: int) -> int:
    """Number of files in the temporary folder that a process sees; 0 if that cannot be told."""
    try:
        found = os.statvfs(f"/proc/{pid}/root{ENVIRONMENT['HOME']}")
    except OSError:
        return 0
    return found.f_files - found.f_ffree
