"""Progress on stderr: rich bars with rate and remaining time on a terminal, plain lines when piped."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger("gcsl")

PLAIN_SECONDS = 10.0
PLAIN_SHARES = 10


class Progress(Protocol):
    """A running count."""

    def advance(self, n: float = 1) -> None:
        """Count `n` more units."""


def is_terminal() -> bool:
    """Whether stderr is a terminal that this process has for itself."""
    return sys.stderr.isatty() and "GCSL_PLAIN" not in os.environ


_terminal: "Console | None" = None


def stderr_console() -> "Console":
    """The one rich console on stderr: bars and log lines must share it."""
    global _terminal  # noqa: PLW0603
    from rich.console import Console

    if _terminal is None or _terminal.file is not sys.stderr:
        _terminal = Console(file=sys.stderr)
    return _terminal


@contextlib.contextmanager
def progress(description: str, total: float | None, unit: str = "") -> Iterator[Progress]:
    """A running count on stderr; `total` and `advance` count in `unit` (rows, tokens, steps).

    with progress("rollouts", 4000, "completions") as bar:
        bar.advance(32)
    """
    if is_terminal():
        with _rich_progress(description, total, unit) as bar:
            yield bar
    else:
        plain = PlainProgress(description, total, unit)
        yield plain
        plain.close()


class PlainProgress:
    """Progress as lines: `rollouts: 400/4000 completions (10 %), 35.1/s, 103 s left`."""

    def __init__(
        self,
        description: str,
        total: float | None,
        unit: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.description, self.total, self.unit, self.clock = description, total, unit, clock
        self.done = 0.0
        self.started = self.said = clock()
        self.said_done = 0.0

    def advance(self, n: float = 1) -> None:
        """Count, and say a line when a tenth is full or ten seconds have passed."""
        self.done += n
        now = self.clock()
        tenth = self.total is not None and self.total > 0 and self._tenth(self.done) > self._tenth(self.said_done)
        if tenth or now - self.said >= PLAIN_SECONDS:
            self._say(now)

    def close(self) -> None:
        """Say the last count when it has not been said."""
        if self.done != self.said_done:
            self._say(self.clock())

    def _tenth(self, done: float) -> int:
        return int(done * PLAIN_SHARES / self.total) if self.total else 0

    def _say(self, now: float) -> None:
        rate = self.done / (now - self.started) if now > self.started else 0.0
        unit = f" {self.unit}" if self.unit else ""
        if self.total:
            left = f", {(self.total - self.done) / rate:.0f} s left" if rate and self.done < self.total else ""
            line = f"{self.done:g}/{self.total:g}{unit} ({100 * self.done / self.total:.0f} %), {rate:.1f}/s{left}"
        else:
            line = f"{self.done:g}{unit}, {rate:.1f}/s"
        log.info("%s: %s", self.description, line)
        self.said, self.said_done = now, self.done


_bars: Any = None


@contextlib.contextmanager
def _rich_progress(description: str, total: float | None, unit: str) -> Iterator[Progress]:
    """A bar; inside another one it becomes a second line of it, because a terminal has one live display."""
    global _bars  # noqa: PLW0603
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    outermost = _bars is None
    if outermost:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            _speed_column(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        _bars = Bars(*columns, console=stderr_console(), transient=False)
        _bars.start()
    task = _bars.add_task(description, total=total, unit=unit)
    try:
        yield _TaskBar(_bars, task)
    finally:
        if outermost:
            _bars.stop()
            _bars = None
        else:
            _bars.remove_task(task)


def _speed_column() -> Any:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class SpeedColumn(ProgressColumn):
        """Units a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")

    return SpeedColumn()


class _TaskBar:
    def __init__(self, bars: Any, task: Any) -> None:
        self.bars, self.task = bars, task

    def advance(self, n: float = 1) -> None:
        self.bars.advance(self.task, n)
