"""Hostile programs pass no test, do not escape or outlive their limits, and leave the grader intact."""

import os
from pathlib import Path

import pytest

from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict, grade
from gcsl_cli.tasks.code.sandbox.hostile import SHORT, Attack, attacks
from gcsl_cli.tasks.code.sandbox.limits import Limits

BY_NAME = {f"{attack.group}: {attack.name}": attack for attack in attacks()}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_hostile_program_is_contained(name: str, hostile_verdicts: dict[Attack, tuple[Verdict, Verdict]]) -> None:
    assert BY_NAME[name].result(*hostile_verdicts[BY_NAME[name]]) == ""


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("bomb: while true", "timeout"),
        ("bomb: big number", "timeout"),
        ("bomb: sleep", "timeout"),
        ("bomb: memory in steps", "memory"),
        ("bomb: fork count", "processes"),
        ("bomb: thread bomb", "processes"),
        ("bomb: open files", "open files"),
        ("bomb: disk", "disk"),
        ("bomb: disk in many files", "disk"),
        ("kernel: socket pairs", "forbidden"),
        ("kernel: spliced memory", "forbidden"),
        ("kernel: many files", "disk"),
        ("kernel: many folders", "disk"),
        ("kernel: memory of many processes", "memory"),
        ("kernel: death signal off", "forbidden"),
        ("kernel: watched folder", "forbidden"),
        ("kernel: locked system file", "forbidden"),
        ("kernel: other cores", "forbidden"),
        ("values: an endless range", "memory"),
        ("values: a long sleep", "timeout"),
        ("values: colliding numbers in a frame", "timeout"),
        ("values: an iterator that is handed back", "outside"),
        ("output: large answer", "output"),
        ("network: tcp", "forbidden"),
        ("escaping: write to the system", "forbidden"),
        ("forging: exits hard in the call", "exit"),
        ("forging: equals everything", "outside"),
        ("forging: answers in frames", "forbidden"),
        ("forging: an exception named timeout", "exception"),
        ("forging: an exception without a name", "exception"),
        ("forging: a limit in frames", "forbidden"),
    ],
)
def test_the_verdict_names_the_limit(
    name: str, limit: str, hostile_verdicts: dict[Attack, tuple[Verdict, Verdict]]
) -> None:
    assert hostile_verdicts[BY_NAME[name]][0].error == limit


def test_a_huge_exponent_meets_a_limit(hostile_verdicts: dict[Attack, tuple[Verdict, Verdict]]) -> None:
    """Memory or time: which comes first depends on the speed of the machine."""
    assert hostile_verdicts[BY_NAME["values: a huge exponent"]][0].error in {"memory", "timeout"}


def test_texts_of_a_program_are_short_and_printable(hostile_verdicts: dict[Attack, tuple[Verdict, Verdict]]) -> None:
    (found,) = (hostile_verdicts[attack][0] for attack in BY_NAME.values() if attack.name == "names in frames")
    assert (found.error, found.message) == ("exception", "\\x1b[31m")
    assert found.exception.startswith("\\x00\\ud800aaa")
    assert len(found.exception) == 80
    assert all(one.message.isprintable() and one.exception.isprintable() for one, _ in hostile_verdicts.values())


def test_nothing_outlives_its_grading(bubblewrap: None) -> None:
    """After each verdict, no process with the marker on its command line is left."""
    mark = f"GCSL_MARK_{os.getpid()}"
    code = f"""
import os, time
os.environ["MARK"] = "{mark}"
def solve(n):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve(EXECUTABLE, [EXECUTABLE, "-c", "import time; time.sleep(600)", "{mark}"], {{}})
    time.sleep(600)
""".replace("EXECUTABLE", "__import__('sys').executable")
    problem = Problem("outliving", ("assert solve(1) == 1",), "solve")
    programs_twice = [Program("outliving", code)] * 2
    for verdict in grade(programs_twice, {"outliving": problem}, limits=SHORT):
        assert verdict.error == "timeout"
    assert [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark in _read(path)] == []


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


TOGETHER = {
    "exits at once": "raise SystemExit(0)\n",
    "exits hard at once": "import os\nos._exit(0)\n",
    "exits hard in the call": "import os\ndef solve(n):\n    os._exit(0)\n",
    "at the exit": "import atexit, os\natexit.register(os._exit, 0)\ndef solve(n): raise SystemExit(0)\n",
    "prints markers": "print('passed')\ndef solve(n): return None\n",
    "patches builtins": (
        "import builtins\nfor name in ('isinstance', 'str', 'enumerate', 'len', 'callable', 'abs'):\n"
        "    setattr(builtins, name, lambda *a, **k: True)\ndef solve(n): return None\n"
    ),
    "patches the assertion error": "import builtins\nbuiltins.AssertionError = ValueError\ndef solve(n): return None\n",
    "equals everything": (
        "class Equal:\n    def __eq__(self, other): return True\n    def __call__(self, *a): return self\n"
        "def solve(n): return Equal()\n"
    ),
    "equals everything as a number": (
        "class Equal(int):\n    def __eq__(self, other): return True\ndef solve(n): return [Equal()]\n"
    ),
    "says that its class is another": (
        "class Equal:\n    __module__ = 'builtins'\n    def __eq__(self, other): return True\n"
        "def solve(n): return Equal()\n"
    ),
    "writes frames": (
        "import os\nfrom gcsl_cli.tasks.code.sandbox.codec import encode, framed\n"
        "def solve(n):\n    for fd in range(3, 64):\n"
        "        try: os.write(fd, framed(encode((b'x' * 16, 0, '', ''))))\n"
        "        except OSError: pass\n    os._exit(0)\n"
    ),
    "writes frames at once": (
        "import os\nfrom gcsl_cli.tasks.code.sandbox.codec import encode, framed\n"
        "for fd in range(3, 64):\n"
        "    try: os.write(fd, framed(encode((0, 'loaded', '', ''))) + framed(encode((b'x' * 16, 0, '', ''))))\n"
        "    except OSError: pass\nos._exit(0)\n"
    ),
    "never ends": "def solve(n):\n    while True: pass\n",
    "uses the network": "import socket\ndef solve(n):\n    socket.socket()\n    return n\n",
}


@pytest.mark.parametrize("name", TOGETHER)
def test_a_hostile_program_that_shares_a_process_with_its_tests(name: str, bubblewrap: None) -> None:
    problem = Problem("together", ("assert solve(abs) == 'secret'",), "solve", together=True)
    limits = Limits(cpu_seconds=1, wall_seconds=10)
    (verdict,) = grade([Program("together", TOGETHER[name])], {"together": problem}, limits=limits)

    assert (verdict.passed, verdict.tests, verdict.together) == (0, 1, True)
    assert verdict.error
