"""Progress on stderr: rich bars with rate and remaining time on a terminal, plain lines when piped.

When piped, a line is written for every tenth of the work, or after ten seconds if that is sooner.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from gcsl_cli.runs import ranks

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger("gcsl")

PLAIN_SECONDS = 10.0
PLAIN_SHARES = 10


class Progress(Protocol):
    """A progress bar, or its plain-text counterpart."""

    def advance(self, n: float = 1) -> None:
        """Add `n` units."""


def is_terminal() -> bool:
    """Return True if stderr is a terminal that this process does not share with other jobs or ranks."""
    return sys.stderr.isatty() and "GCSL_PLAIN" not in os.environ and ranks.leads()


_terminal: "Console | None" = None


def stderr_console() -> "Console":
    """Return the rich console on stderr. There is only one, because bars and log lines must share it."""
    global _terminal  # noqa: PLW0603
    from rich.console import Console

    if _terminal is None or _terminal.file is not sys.stderr:
        _terminal = Console(file=sys.stderr)
    return _terminal


@contextlib.contextmanager
def progress(description: str, total: float | None, unit: str = "") -> Iterator[Progress]:
    """Show the progress of a block on stderr; `total` and `advance` count in `unit` (rows, tokens, steps).

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
    """Progress as log lines: `rollouts: 400/4000 completions (10 %), 35.1/s, 103 s left`."""

    def __init__(
        self, description: str, total: float | None, unit: str = "", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.description, self.total, self.unit, self.clock = description, total, unit, clock
        self.done = 0.0
        self.started = self.logged_at = clock()
        self.logged = 0.0

    def advance(self, n: float = 1) -> None:
        """Add `n` units; log a line at each tenth of the total, or ten seconds after the last line."""
        self.done += n
        now = self.clock()
        if self._tenth(self.done) > self._tenth(self.logged) or now - self.logged_at >= PLAIN_SECONDS:
            self._log(now)

    def close(self) -> None:
        """Log the final count unless it has been logged already."""
        if self.done != self.logged:
            self._log(self.clock())

    def _tenth(self, done: float) -> int:
        return int(done * PLAIN_SHARES / self.total) if self.total else 0

    def _log(self, now: float) -> None:
        rate = self.done / (now - self.started) if now > self.started else 0.0
        unit = f" {self.unit}" if self.unit else ""
        if self.total:
            left = f", {(self.total - self.done) / rate:.0f} s left" if rate and self.done < self.total else ""
            line = f"{self.done:g}/{self.total:g}{unit} ({100 * self.done / self.total:.0f} %), {rate:.1f}/s{left}"
        else:
            line = f"{self.done:g}{unit}, {rate:.1f}/s"
        log.info("%s: %s", self.description, line)
        self.logged_at, self.logged = now, self.done


_bars: Any = None


@contextlib.contextmanager
def _rich_progress(description: str, total: float | None, unit: str) -> Iterator[Progress]:
    """Show a rich bar. A nested bar is added to the outer display, because a terminal has only one live display."""
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
        )
        times = (_speed_column(), TimeElapsedColumn(), TimeRemainingColumn())
        _bars = Bars(*columns, *times, console=stderr_console(), transient=False)
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
        """Units per second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")

    return SpeedColumn()


class _TaskBar:
    def __init__(self, bars: Any, task: Any) -> None:
        self.bars, self.task = bars, task

    def advance(self, n: float = 1) -> None:
        self.bars.advance(self.task, n)
