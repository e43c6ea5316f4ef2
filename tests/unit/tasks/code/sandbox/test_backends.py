"""Sandbox backends: command lines, the probe, docker (with a fake executable), resource limits only, seccomp."""

import logging
import struct
import sys
from pathlib import Path

import pytest

from gcsl_cli.errors import DependencyError
from gcsl_cli.tasks.code.sandbox import backends
from gcsl_cli.tasks.code.sandbox.backends import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, grade
from gcsl_cli.tasks.code.sandbox.limits import Limits
from gcsl_cli.tasks.code.sandbox.probe import require, why_not
from gcsl_cli.tasks.code.sandbox.seccomp import CLONE, REFUSED, REFUSED_ARGUMENTS, X32, filter_program
from tests.unit.tasks.code.sandbox.conftest import ROOMY

FAKE_DOCKER = """#!{python}
import os, sys
with open({log!r}, "a") as log:
    print(*sys.argv[1:8], file=log)
if sys.argv[1] == "run":
    command = sys.argv[sys.argv.index("image"):]
    os.execv({python!r}, [{python!r}, *command[2:]])
"""
ADD = Problem("add", ("assert add(1, 2) == 3",), "add")


@pytest.fixture
def docker(tmp_path: Path) -> tuple[str, Path]:
    """A docker executable that runs this machine's interpreter, and the log of its calls."""
    path, log = tmp_path / "docker", tmp_path / "log"
    path.write_text(FAKE_DOCKER.format(python=sys.executable, log=str(log)))
    path.chmod(0o755)
    return str(path), log


def test_docker(docker: tuple[str, Path]) -> None:
    chosen = Sandbox("docker", image="image", docker=docker[0])
    programs = [Program("add", f"def add(a, b): return a {sign} b") for sign in "+-"]
    first, second = grade(programs, {"add": ADD}, limits=ROOMY, sandbox=chosen)

    assert (first.solved, second.error) == (True, "wrong answer")
    lines = docker[1].read_text().splitlines()
    started = {line.split()[5] for line in lines if line.startswith("run --rm -i --init --name gcsl-")}
    stopped = {line.split()[1] for line in lines if line.startswith("kill gcsl-")}
    assert started == stopped
    assert len(started) == 5  # the tester, two programs and two spares


def test_the_command_line_of_docker() -> None:
    backend = Sandbox("docker", image="image").backend(Limits(processes=7, memory_bytes=10**9, file_bytes=5000))
    line = " ".join(backend.command)
    for part in ("--network none", "--read-only", "--cap-drop ALL", "no-new-privileges", "--pids-limit 9",
                 "--memory 1000000000", "size=5000"):  # fmt: skip
        assert part in line


def test_rlimit_warns_on_every_use(caplog: pytest.LogCaptureFixture) -> None:
    code = "def add(a, b): return a + b"
    for times in (1, 2):
        with caplog.at_level(logging.WARNING, logger="gcsl"):
            (found,) = grade([Program("add", code)], {"add": ADD}, limits=ROOMY, sandbox=Sandbox("rlimit"))
        assert found.solved
        assert sum("your permissions" in record.message for record in caplog.records) == times


def test_rlimit_stops_an_endless_loop() -> None:
    limits = Limits(cpu_seconds=1, wall_seconds=60)
    code = "def add(a, b):\n    while True: pass"
    (found,) = grade([Program("add", code)], {"add": ADD}, limits=limits, sandbox=Sandbox("rlimit"))
    assert found.error == "timeout"


def test_extra_folders_are_readable(tmp_path: Path, bubblewrap: None) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "adder.py").write_text("def add(a, b): return a + b\n")
    (program,) = [Program("add", "from adder import add")]
    (without,) = grade([program], {"add": ADD}, limits=ROOMY)
    (found,) = grade([program], {"add": ADD}, limits=ROOMY, sandbox=Sandbox(readable=(str(folder),)))
    assert (without.error, found.solved) == ("import", True)


def test_the_probe_tells_how_to_install_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "BWRAP", "no-such-bwrap")
    assert "sudo apt-get install bubblewrap" in why_not()
    with pytest.raises(DependencyError, match=r"[^.]\. No program was run"):
        require()


def test_the_probe_detects_a_sandbox_that_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "BWRAP", "true")
    assert why_not()


def test_the_probe_passes_if_the_sandbox_works(bubblewrap: None) -> None:
    require()


def run_filter(program: bytes, machine: int, number: int, *arguments: int) -> int:
    """Interpret the four BPF instructions that the filter uses; return its verdict."""
    data = struct.pack("IIQ6Q", number, machine, 0, *arguments, *[0] * (6 - len(arguments)))
    code = [struct.unpack_from("HBBI", program, place) for place in range(0, len(program), 8)]
    place = value = 0
    while True:
        kind, yes, no, constant = code[place]
        place += 1
        if kind == 0x20:
            (value,) = struct.unpack_from("I", data, constant)
        elif kind == 0x06:
            return int(constant)
        else:
            holds = {0x15: value == constant, 0x35: value >= constant, 0x45: bool(value & constant)}[kind]
            place += yes if holds else no


ALLOWED, REFUSAL, MISSING = 0x7FFF0000, 0x00050001, 0x00050026


@pytest.mark.parametrize(
    ("machine", "token", "column", "read"), [("x86_64", 0xC000003E, 0, 0), ("aarch64", 0xC00000B7, 1, 63)]
)
def test_the_filter(machine: str, token: int, column: int, read: int) -> None:
    program = filter_program(machine)
    for numbers in REFUSED.values():
        assert run_filter(program, token, numbers[column]) == REFUSAL
    assert run_filter(program, token, read) == ALLOWED
    assert run_filter(program, token, 435) == MISSING
    # Starting a thread is allowed, starting a process in a new user namespace is not.
    assert run_filter(program, token, CLONE[column], 0x3D0F00) == ALLOWED
    assert run_filter(program, token, CLONE[column], 0x10000011) == REFUSAL
    for numbers, index, values in REFUSED_ARGUMENTS.values():
        for value in values:
            assert run_filter(program, token, numbers[column], *[0] * index, value) == REFUSAL
        assert run_filter(program, token, numbers[column], *[0] * index, 15) == ALLOWED
        assert run_filter(program, token, numbers[column], *[values[0]] * index, 0, *[values[0]] * 2) == ALLOWED
    # Other machines and ABIs number their calls differently.
    assert run_filter(program, 0x40000003, read) == REFUSAL
    assert run_filter(program, token, X32 + read) == REFUSAL


def test_a_machine_without_a_filter() -> None:
    assert filter_program("riscv64") == b""
