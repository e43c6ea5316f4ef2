"""What a sandbox uses as a whole."""

import os
import subprocess
import sys

import pytest

from gcsl_cli.tasks.code.sandbox import usage
from gcsl_cli.tasks.code.sandbox.backends import rlimit
from gcsl_cli.tasks.code.sandbox.payload import BOOT
from gcsl_cli.tasks.code.sandbox.process import Process
from gcsl_cli.tasks.code.sandbox.usage import Watch, address_space, family

CHILD = "import os, sys\nif os.fork() == 0: os.setsid()\nprint(os.getpid(), flush=True)\nsys.stdin.read()"


def test_a_family_includes_grandchildren_in_other_sessions() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        pids = {int(child.stdout.readline()) for _ in range(2)}
        assert child.pid in pids
        assert set(family(child.pid)) == pids
        assert pids <= set(family(os.getpid()))


def test_address_space() -> None:
    """That of an interpreter is megabytes; that of a process that is gone is 0."""
    assert address_space(os.getpid()) > 2**20
    assert address_space(2**22 + 1) == 0


def test_a_watch_looks_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look is due after an interval. One process is the kernel's business, the sum of two is not."""
    now = [0.0]
    monkeypatch.setattr(usage.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(usage, "family", lambda first: [first] * processes)
    monkeypatch.setattr(usage, "address_space", lambda _: 60)
    backend = rlimit()
    process = Process(backend, [*backend.command, "-c", BOOT], b"")
    watch, processes = Watch(process, 100, 4096), 2
    assert watch.exceeded() == ""
    now[0] += usage.INTERVAL
    assert watch.exceeded() == "memory"
    assert watch.exceeded() == ""
    now[0] += usage.INTERVAL
    processes = 1
    assert watch.exceeded() == ""
    process.kill()
