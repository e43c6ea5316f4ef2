"""Timing many programs: each once, by problem, kept in shards; and percentiles among the known solutions."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.data.input_files import Faults
from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code import speed
from gcsl_cli.tasks.code.efficiency import Timing
from gcsl_cli.tasks.code.records import CodeProblem, Scaling
from gcsl_cli.tasks.code.sandbox.engine import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Program
from gcsl_cli.tasks.code.speed import SpeedConfig, Stopwatch

SCALING = Scaling("def generate_input(size, lid, cid): ...", (1, 2), "def f(): ...")
PROBLEMS = {name: CodeProblem(name, "", "f", (), scaling=SCALING if name != "none" else None) for name in ("a", "none")}


class Clock:
    """In place of the sandbox: a program's text is its relative time; notes what it timed, and may be interrupted."""

    def __init__(self) -> None:
        self.timed: list[Program] = []
        self.fail_at: int | None = None

    def __call__(self, programs: Sequence[Program], problems: Mapping[str, CodeProblem], **_: Any) -> list[Timing]:
        found = []
        for program in programs:
            if len(self.timed) == self.fail_at:
                raise KeyboardInterrupt
            self.timed.append(program)
            untimed = problems[program.identity].scaling is None
            found.append(Timing(math.nan, "no inputs") if untimed else Timing(float(program.code)))
        return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(speed, "relative_times", made)
    return made


def stopwatch(**config: Any) -> Stopwatch:
    return Stopwatch(PROBLEMS, SpeedConfig(**config), Sandbox())


def programs(*codes: str, identity: str = "a") -> list[Program]:
    return [Program(identity, code) for code in codes]


def test_a_program_is_timed_once(clock: Clock) -> None:
    watch = stopwatch()

    assert [one.relative for one in watch(programs("2", "3", "2"))] == [2, 3, 2]
    assert [one.relative for one in watch(programs("3"))] == [3]
    assert clock.timed == programs("2", "3")


def test_percentiles_are_among_known_solutions_of_the_same_problem(clock: Clock) -> None:
    """Beside 1 (the reference of the inputs), 2 and 4: 3 is faster than one of three, 1 than two and as fast as one.

    A solution of another problem is not compared with, and a known one is compared with itself too (half).
    """
    known = [*programs("2", "4"), *programs("9", identity="b")]
    found = stopwatch().percentiles(programs("3", "1", "4", "inf"), known)

    assert found == pytest.approx([1 / 3, 2.5 / 3, 0.5 / 3, 0])


def test_without_known_solutions_there_is_the_reference(clock: Clock) -> None:
    assert stopwatch().percentiles(programs("0.5", "1", "2"), []) == pytest.approx([1, 0.5, 0])


def test_nothing_to_time(clock: Clock) -> None:
    assert stopwatch().percentiles([], programs("2")).shape == (0,)
    assert clock.timed == []


def test_problems_without_times_are_told_once(clock: Clock) -> None:
    watch, faults = stopwatch(), Faults()
    watch.faults = faults
    found = watch.percentiles(programs("1", "2", identity="none"), [])
    watch.percentiles(programs("3", identity="none"), [])

    assert np.isnan(found).all()
    assert faults.lines() == ["1 x a problem that is not timed (no inputs): none"]


def test_what_was_timed_is_found_again(clock: Clock, tmp_path: Path) -> None:
    """The second problem is interrupted; the first one is not timed again."""
    asked = [*programs("2", "inf"), *programs("1", identity="none")]
    clock.fail_at = 2
    with pytest.raises(KeyboardInterrupt):
        stopwatch()(asked, tmp_path)
    clock.fail_at = None
    found = stopwatch()(asked, tmp_path)

    assert clock.timed == asked
    assert [one.relative for one in found[:2]] == [2, math.inf]
    assert math.isnan(found[2].relative)
    assert found[2].reason == "no inputs"


def test_other_ways_of_timing_are_other_times(clock: Clock, tmp_path: Path) -> None:
    stopwatch()(programs("2"), tmp_path)
    stopwatch(repeats=1)(programs("2"), tmp_path)
    Stopwatch(PROBLEMS, SpeedConfig(), Sandbox("rlimit"))(programs("2"), tmp_path)

    assert len(clock.timed) == 3


@pytest.mark.parametrize("name", ["repeats", "cases", "cpu_seconds", "workers"])
def test_numbers_out_of_range(name: str) -> None:
    config = SpeedConfig()
    setattr(config, name, 0)
    with pytest.raises(ConfigError, match=rf"task\.speed\.{name}=0: must be above 0"):
        config.check("bubblewrap")


def test_a_container_does_not_tell_times() -> None:
    SpeedConfig().check("docker")
    with pytest.raises(ConfigError, match="docker does not tell processor time"):
        SpeedConfig(inputs="enamel.csv").check("docker")
