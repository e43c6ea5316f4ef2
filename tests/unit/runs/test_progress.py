"""Progress as lines on a pipe and as bars on a terminal."""

import io
import logging
import sys

import pytest

from gcsl_cli.cli import console
from gcsl_cli.runs.progress import PlainProgress, progress


class Clock:
    """A clock that the test moves forward."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _logging(monkeypatch: pytest.MonkeyPatch) -> None:
    console.setup()


def test_a_line_at_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    """40 units at 2 per second: tenths are complete at 4, 8, ..., 40, two seconds apart."""
    clock = Clock()
    bar = PlainProgress("train", 40, "steps", clock=clock)
    for _ in range(40):
        clock.now += 0.5
        bar.advance()
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "train: 4/40 steps (10 %), 2.0/s, 18 s left"
    assert lines[-1] == "train: 40/40 steps (100 %), 2.0/s"


def test_a_line_after_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """1000 units at one per 4 seconds: the third unit (12 s) is the first after ten seconds."""
    clock = Clock()
    bar = PlainProgress("rollouts", 1000, clock=clock)
    for _ in range(3):
        clock.now += 4
        bar.advance()
    assert capsys.readouterr().err == "rollouts: 3/1000 (0 %), 0.2/s, 3988 s left\n"


def test_an_unknown_total(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    bar = PlainProgress("tokens", None, "tokens", clock=clock)
    clock.now = 5
    bar.advance(10)
    bar.close()
    bar.close()
    assert capsys.readouterr().err == "tokens: 10 tokens, 2.0/s\n"


def test_progress_of_nothing_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("nothing", 0):
        pass
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_bars_and_lines_share_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nested bar is a second line of the display, and a log line breaks neither."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("GCSL_PLAIN", raising=False)
    with progress("outer", 2, "rows") as outer, progress("inner", 4, "tokens") as inner:
        inner.advance(4)
        outer.advance(2)
        logging.getLogger("gcsl").info("a line")
    written = terminal.getvalue()
    assert "a line" in written
    assert "outer" in written
    assert "2/2" in written
