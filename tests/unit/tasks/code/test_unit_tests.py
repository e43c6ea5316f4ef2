"""Running many programs once each, with cached shards."""

import math
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code import unit_tests
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict
from gcsl_cli.tasks.code.unit_tests import SandboxConfig, UnitTestGrader

PROBLEMS = {name: Problem(name, ("assert f()",), "f") for name in ("a", "b")}
PROGRAMS = [Program("a", "one"), Program("b", "one"), Program("a", "two"), Program("a", "one")]


class Counted:
    """Replaces the sandbox: passes one test per character, can be interrupted, and records what it graded."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.graded: list[Program] = []
        self.calls = 0
        self.fail_at = fail_at

    def __call__(
        self, programs: Iterable[Program], problems: Mapping[str, Problem], **_: Any
    ) -> Generator[Verdict, None, None]:
        self.calls += 1
        for program in programs:
            if len(self.graded) == self.fail_at:
                raise KeyboardInterrupt
            self.graded.append(program)
            yield Verdict(len(program.code), 7, "\ud800", "what \ud800", 0, math.nan, 0.5, False)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    made = Counted()
    monkeypatch.setattr(unit_tests, "grade", made)
    monkeypatch.setattr(unit_tests, "SHARD", 2)
    return made


def test_a_program_is_graded_once(counted: Counted) -> None:
    """The fourth equals the first. Both shards are graded in a single call; later requests reuse the verdicts."""
    grader = UnitTestGrader(PROBLEMS, SandboxConfig())
    found = grader(PROGRAMS)

    assert counted.graded == PROGRAMS[:3]
    assert counted.calls == 1
    assert found[3] is found[0]
    assert grader(PROGRAMS[:2]) == found[:2]
    assert len(counted.graded) == 3


def test_interrupted_grading_resumes(counted: Counted, tmp_path: Path) -> None:
    """The second shard is interrupted; the first one is not graded again."""
    counted.fail_at = 2
    with pytest.raises(KeyboardInterrupt):
        UnitTestGrader(PROBLEMS, SandboxConfig())(PROGRAMS, tmp_path)
    counted.fail_at = None
    found = UnitTestGrader(PROBLEMS, SandboxConfig(workers=7))(PROGRAMS, tmp_path)

    assert counted.graded == PROGRAMS[:3]
    assert [verdict.passed for verdict in found] == [3, 3, 3, 3]
    assert found[0].message == "what ?"
    assert math.isnan(found[0].cpu_seconds)


def test_verdicts_depend_on_tests_and_settings(counted: Counted, tmp_path: Path) -> None:
    UnitTestGrader(PROBLEMS, SandboxConfig())(PROGRAMS[:1], tmp_path)
    UnitTestGrader({"a": Problem("a", ("assert not f()",), "f")}, SandboxConfig())(PROGRAMS[:1], tmp_path)
    UnitTestGrader(PROBLEMS, SandboxConfig(cpu_seconds=9))(PROGRAMS[:1], tmp_path)
    UnitTestGrader(PROBLEMS, SandboxConfig(kind="rlimit"))(PROGRAMS[:1], tmp_path)

    assert len(counted.graded) == 4


def test_a_damaged_shard_is_regraded(counted: Counted, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    UnitTestGrader(PROBLEMS, SandboxConfig())(PROGRAMS[:1], tmp_path)
    (shard,) = tmp_path.glob("*.parquet")
    shard.write_bytes(b"PAR1 cut off")
    found = UnitTestGrader(PROBLEMS, SandboxConfig())(PROGRAMS[:1], tmp_path)

    assert len(counted.graded) == 2
    assert found[0].passed == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "bublewrap"}, "task.sandbox.kind=bublewrap: no such sandbox. Did you mean bubblewrap?"),
        ({"cpu_seconds": 0.0}, "cpu_seconds=0.0 is too small"),
        ({"memory_mib": 1}, "memory_bytes=1048576 is too small"),
        ({"workers": 0}, "task.sandbox.workers=0: must be at least 1"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        SandboxConfig(**settings).check()
