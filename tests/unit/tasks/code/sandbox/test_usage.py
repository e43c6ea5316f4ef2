"""What a sandbox uses as a whole."""

import os
import subprocess
import sys
import time

import pytest

from gcsl_cli.tasks.code.sandbox import usage
from gcsl_cli.tasks.code.sandbox.backends import rlimit
from gcsl_cli.tasks.code.sandbox.payload import BOOT
from gcsl_cli.tasks.code.sandbox.process import Process
from gcsl_cli.tasks.code.sandbox.usage import Watch, address_space, cpu_seconds, family

CHILD = "import os, sys\nif os.fork() == 0: os.setsid()\nos.write(1, b'%d\\n' % os.getpid())\nsys.stdin.read()"


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


def test_cpu_seconds() -> None:
    """Those of this process, to a hundredth of a second, and none of one that is gone."""
    times = os.times()
    before, after = sum(times[:4]), cpu_seconds(os.getpid())
    assert before - 0.05 <= after <= sum(os.times()[:4]) + 0.05
    assert cpu_seconds(2**22 + 1) == 0


def test_a_watch_looks_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look is due after an interval. One process is the kernel's business, the sum of two is not."""
    now, processes, cpu = [0.0], 2, 1.5
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(usage, "family", lambda first: [first] * processes)
    monkeypatch.setattr(usage, "address_space", lambda _: 60)
    monkeypatch.setattr(usage, "cpu_seconds", lambda _: cpu)
    backend = rlimit()
    process = Process(backend, [*backend.command, "-c", BOOT], b"")
    watch = Watch(process, 3, 100, 4096)
    assert watch.exceeded() == ""
    now[0] += usage.INTERVAL
    assert watch.exceeded() == "memory"
    assert watch.exceeded() == ""
    now[0] += usage.INTERVAL
    processes = 1
    assert watch.exceeded() == ""
    now[0] += usage.INTERVAL
    cpu = 4.5
    assert watch.exceeded() == "timeout"
    process.kill()
