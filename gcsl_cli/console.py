"""What people see while a command runs: log lines and progress on stderr, so that stdout carries the result alone.

On a terminal: rich bars with rate and remaining time. Piped: plain lines, one at each tenth or every ten seconds.
`GCSL_DEBUG=1` leaves the libraries' own output and tracebacks on.
"""

import contextlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger("gcsl")

PLAIN_SECONDS = 10.0
PLAIN_SHARES = 10
PIPED_WIDTH = 160


class Progress(Protocol):
    """A running count."""

    def advance(self, n: float = 1) -> None:
        """Count `n` more units."""


def debug() -> bool:
    """Whether `GCSL_DEBUG` asks for tracebacks and the libraries' own output."""
    return os.environ.get("GCSL_DEBUG", "") not in {"", "0"}


def is_terminal() -> bool:
    """Whether stderr is a terminal that this process has for itself."""
    return sys.stderr.isatty() and "GCSL_PLAIN" not in os.environ


def setup() -> None:
    """Send gcsl's log lines to stderr and quieten the libraries; more than one call changes nothing."""
    if not any(isinstance(handler, StderrHandler) for handler in log.handlers):
        log.addHandler(StderrHandler())
    log.setLevel(logging.DEBUG if debug() else logging.INFO)
    log.propagate = False
    logging.raiseExceptions = debug()
    if not debug():
        quieten()


def quieten() -> None:
    """Keep transformers, the Hub client and tqdm from writing over our lines; what a user has set stays."""
    names = {
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
    if not is_terminal():
        names |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1"}
    for name, value in names.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")


class StderrHandler(logging.Handler):
    """Plain lines when piped; above a running bar on a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; warnings and errors say what they are."""
        try:
            line = self.format(record)
            if record.levelno >= logging.WARNING:
                line = f"{record.levelname.capitalize()}: {line}"
            if is_terminal():
                style = "bold red" if record.levelno >= logging.ERROR else ""
                stderr_console().print(line, style=style, markup=False, highlight=False, soft_wrap=True)
            else:
                print(line, file=sys.stderr, flush=True)  # noqa: T201
        except BrokenPipeError:
            return
        except Exception:  # noqa: BLE001
            self.handleError(record)


_terminal: "Console | None" = None


def stderr_console() -> "Console":
    """The one rich console on stderr: bars and log lines must share it."""
    global _terminal  # noqa: PLW0603
    from rich.console import Console

    if _terminal is None or _terminal.file is not sys.stderr:
        _terminal = Console(file=sys.stderr)
    return _terminal


def show(renderable: Any, stream: TextIO) -> None:
    """Print a rich table or text; wide when piped, so that no column is cut."""
    from rich.console import Console

    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    Console(file=stream, width=width, highlight=False).print(renderable)


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


@contextlib.contextmanager
def stdout_for_results() -> Iterator[TextIO]:
    """Keep stdout for the result: in the block all that prints, libraries and child processes too, prints to stderr.

    Yields the stream that goes to the real stdout.
    """
    original = sys.stdout
    try:
        owns_descriptor = original.fileno() == 1 and sys.stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):
        owns_descriptor = False
    with contextlib.redirect_stdout(sys.stderr):
        if not owns_descriptor:
            yield original
            return
        original.flush()
        saved = os.dup(1)
        os.dup2(2, 1)
        try:
            with os.fdopen(os.dup(saved), "w", encoding=original.encoding) as results:
                yield results
        finally:
            os.dup2(saved, 1)
            os.close(saved)
