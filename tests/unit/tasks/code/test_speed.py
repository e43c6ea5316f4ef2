"""Timing programs once each, cached by problem, and percentiles among the known solutions."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.data.input_files import Faults
from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code import speed
from gcsl_cli.tasks.code.problems import CodeProblem, Scaling
from gcsl_cli.tasks.code.sandbox.backends import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Program
from gcsl_cli.tasks.code.speed import SpeedConfig, SpeedGrader, percentile
from gcsl_cli.tasks.code.timing import Timing

SCALING = Scaling("def generate_input(size, lid, cid): ...", (1, 2), "def f(): ...")
PROBLEMS = {name: CodeProblem(name, "", "f", (), scaling=SCALING if name != "none" else None) for name in ("a", "none")}


class Clock:
    """Replaces the sandbox: a program's text is its relative time; records what it timed, and can be interrupted."""

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


def speed_grader(**config: Any) -> SpeedGrader:
    return SpeedGrader(PROBLEMS, SpeedConfig(**config), Sandbox())


def programs(*codes: str, identity: str = "a") -> list[Program]:
    return [Program(identity, code) for code in codes]


def test_a_program_is_timed_once(clock: Clock) -> None:
    grader = speed_grader()

    assert [one.relative for one in grader(programs("2", "3", "2"))] == [2, 3, 2]
    assert [one.relative for one in grader(programs("3"))] == [3]
    assert clock.timed == programs("2", "3")


def test_percentiles_are_among_known_solutions_of_the_same_problem(clock: Clock) -> None:
    """Among 1 (the inputs' reference), 2 and 4: 3 is faster than one of three; 1 is faster than two and ties with one.

    A known solution ties with itself, and solutions of other problems are ignored.
    """
    known = [*programs("2", "4"), *programs("9", identity="b")]
    found = speed_grader().percentiles(programs("3", "1", "4", "inf"), known)

    assert found == pytest.approx([1 / 3, 2.5 / 3, 0.5 / 3, 0])


def test_without_known_solutions_only_the_reference_counts(clock: Clock) -> None:
    assert speed_grader().percentiles(programs("0.5", "1", "2"), []) == pytest.approx([1, 0.5, 0])


def test_nothing_to_time(clock: Clock) -> None:
    assert speed_grader().percentiles([], programs("2")).shape == (0,)
    assert clock.timed == []


def test_untimed_problems_are_reported_once(clock: Clock) -> None:
    grader, faults = speed_grader(), Faults()
    grader.faults = faults
    found = grader.percentiles(programs("1", "2", identity="none"), [])
    grader.percentiles(programs("3", identity="none"), [])

    assert np.isnan(found).all()
    assert faults.lines() == ["1 x a problem that is not timed (no inputs): none"]


def test_interrupted_timing_resumes(clock: Clock, tmp_path: Path) -> None:
    """The second problem is interrupted; the first one is not timed again."""
    asked = [*programs("2", "inf"), *programs("1", identity="none")]
    clock.fail_at = 2
    with pytest.raises(KeyboardInterrupt):
        speed_grader()(asked, tmp_path)
    clock.fail_at = None
    found = speed_grader()(asked, tmp_path)

    assert clock.timed == asked
    assert [one.relative for one in found[:2]] == [2, math.inf]
    assert math.isnan(found[2].relative)
    assert found[2].reason == "no inputs"


def test_times_depend_on_settings_and_sandbox(clock: Clock, tmp_path: Path) -> None:
    speed_grader()(programs("2"), tmp_path)
    speed_grader(repeats=1)(programs("2"), tmp_path)
    SpeedGrader(PROBLEMS, SpeedConfig(), Sandbox("rlimit"))(programs("2"), tmp_path)

    assert len(clock.timed) == 3


@pytest.mark.parametrize("name", ["repeats", "cases", "cpu_seconds", "workers"])
def test_numbers_out_of_range(name: str) -> None:
    config = SpeedConfig()
    setattr(config, name, 0)
    with pytest.raises(ConfigError, match=rf"task\.speed\.{name}=0: must be above 0"):
        config.check("bubblewrap")


def test_docker_does_not_report_times() -> None:
    SpeedConfig().check("docker")
    with pytest.raises(ConfigError, match="docker does not report CPU time"):
        SpeedConfig(inputs="enamel.csv").check("docker")


@pytest.mark.parametrize(
    ("relative", "known", "share"),
    [
        (1.0, [2.0, 3.0, 0.5, 0.4], 0.5),
        (1.0, [1.0], 0.5),
        (1.0, [1.04, 0.96, 2.0, 2.0], 0.75),
        (1.0, [1.12, 1.08, 0.92, 2.0], 0.75),
        (1.0, [0.88, 0.92], 0.25),
        (0.1, [1.0, math.inf], 1.0),
        (9.0, [1.0, math.nan, math.inf, math.nan], 0.5),
        (math.inf, [1.0, 2.0], 0.0),
        (math.inf, [1.0, math.inf], 0.25),
    ],
)
def test_percentile(relative: float, known: list[float], share: float) -> None:
    """Slower solutions count 1, ties within a factor of 1.1 count half."""
    assert percentile(relative, np.array(known)) == share


def test_percentile_of_unknown_times() -> None:
    assert math.isnan(percentile(math.nan, np.array([1.0])))
    assert math.isnan(percentile(1.0, np.array([])))
    assert math.isnan(percentile(1.0, np.array([math.nan])))
