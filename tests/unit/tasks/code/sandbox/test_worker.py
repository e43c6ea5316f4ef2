"""Workers that are killed, told to stop, or die: nothing outlives them, and grading goes on."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gcsl_cli.errors import DependencyError
from gcsl_cli.tasks.code.sandbox.backends import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict, grade
from gcsl_cli.tasks.code.sandbox.limits import Limits
from gcsl_cli.tasks.code.sandbox.worker_client import WorkerClient
from tests.unit.tasks.code.sandbox.conftest import ROOMY

REQUEST = ("key", "", ("assert add(1, 2) == 3",), "add", "", False, "def add(a, b): return a + b")
# Starts a program as a worker does, calls it, prints the pid of its first process, and waits.
HOLDER = """
import os, sys, time
from gcsl_cli.tasks.code.sandbox.backends import Sandbox
from gcsl_cli.tasks.code.sandbox.codec import encode
from gcsl_cli.tasks.code.sandbox.limits import Limits
from gcsl_cli.tasks.code.sandbox.payload import BOOT, payload, sources
from gcsl_cli.tasks.code.sandbox.process import Process

backend = Sandbox().backend(Limits())
folders = {f"{{folder{number}}}": mount for number, mount in enumerate(backend.mounts)}
command = [folders.get(part, part) for part in backend.command]
process = Process(backend, [*command, "-I", "-S", "-E", "-B", "-c", BOOT], payload(sources(), "candidate"))
limits = (5, 2**29, 2**20, 64, 16)
process.send(encode((limits, 2**20, sys.argv[1], "solve")), time.monotonic() + 60)
os.set_blocking(process.stdout, True)
process.receive(2**20)
process.send(encode((1, "solve", (), {})), time.monotonic() + 60)
print(process.first_process, flush=True)
input()
"""
DEAF = """
import ctypes, signal, time
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
ctypes.CDLL(None).prctl(1, 0)
def solve():
    while True:
        time.sleep(600)
"""


def ends(pid: int) -> bool:
    """Whether a process that was there ends within ten seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    found = bool(poller.poll(10_000))
    os.close(descriptor)
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_program_dies_with_a_grader_that_is_killed(number: signal.Signals, bubblewrap: None) -> None:
    """It has tried to switch its death signal off."""
    command = [sys.executable, "-c", HOLDER, DEAF]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        holder.send_signal(number)
        assert ends(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_worker_that_is_told_to_stop_kills_its_programs(number: signal.Signals, tmp_path: Path) -> None:
    """Without namespaces, nothing else would. The pipe delivers the program's pid once it runs."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = f"import os, time\nopen({str(pipe)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    client = WorkerClient(Sandbox("rlimit").backend(Limits()), Limits(cpu_seconds=60, wall_seconds=60))
    client.start()
    assert client.process is not None
    assert client.process.stdin is not None
    from gcsl_cli.tasks.code.sandbox.codec import encode, write_frame

    write_frame(client.process.stdin.fileno(), encode((*REQUEST[:-1], code)))
    pid = int(pipe.read_text())
    client.process.send_signal(number)
    assert client.process.wait(10) == 128 + number
    assert ends(pid)
    client.close()


def test_ctrl_c_leaves_the_worker_to_the_grader(bubblewrap: None) -> None:
    client = WorkerClient(Sandbox().backend(Limits()), Limits())
    client.start()
    assert client.process is not None
    process = client.process
    process.send_signal(signal.SIGINT)
    assert Verdict(*client.ask(REQUEST)[:-1]).solved
    assert client.process is process
    client.close()


def test_a_worker_that_died_is_started_again(bubblewrap: None) -> None:
    client = WorkerClient(Sandbox().backend(ROOMY), ROOMY)
    client.start()
    assert client.process is not None
    client.process.kill()
    client.process.wait()
    assert Verdict(*client.ask(REQUEST)[:-1]).solved
    client.close()


def test_a_program_with_which_workers_die_is_blamed(monkeypatch: pytest.MonkeyPatch, bubblewrap: None) -> None:
    """Twice, and the grading goes on."""
    started = []

    def start(self: WorkerClient) -> None:
        started.append(0)
        if len(started) in {1, 2}:
            self.process = subprocess.Popen(["true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        else:
            real(self)

    real = WorkerClient.start
    monkeypatch.setattr(WorkerClient, "start", start)
    problems = {"add": Problem("add", ("assert add(1, 2) == 3",), "add")}
    first, second = grade([Program("add", "def add(a, b): return a + b")] * 2, problems, limits=ROOMY)
    assert (first.error, first.solved, second.solved, len(started)) == ("killed", False, True, 3)


def test_a_worker_that_was_stopped_is_not_started_again(bubblewrap: None) -> None:
    client = WorkerClient(Sandbox().backend(Limits()), Limits())
    client.start()
    client.stop()
    client.close()
    with pytest.raises(DependencyError, match="stopped"):
        client.ask(REQUEST)
