"""Console output: log lines go to stderr, so that stdout carries nothing but the result.

`GCSL_DEBUG=1` keeps tracebacks and the output of libraries.
"""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from gcsl_cli.runs import ranks
from gcsl_cli.runs.progress import is_terminal, stderr_console

log = logging.getLogger("gcsl")

PIPED_WIDTH = 1000
"""Columns of a pipe: enough for every table and path on one line."""


def debug() -> bool:
    """Return True if `GCSL_DEBUG` is set."""
    return os.environ.get("GCSL_DEBUG", "") not in {"", "0"}


def setup() -> None:
    """Send gcsl's log lines to stderr and silence the libraries. Safe to call more than once."""
    if not any(isinstance(handler, StderrHandler) for handler in log.handlers):
        log.addHandler(StderrHandler())
    log.setLevel(logging.DEBUG if debug() else logging.INFO if ranks.leads() else logging.ERROR)
    log.propagate = False
    logging.raiseExceptions = debug()
    if not debug():
        silence_libraries()


def silence_libraries() -> None:
    """Silence transformers, the Hub client and tqdm, unless the user has set their environment variables."""
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
    """Write log lines to stderr: above a running progress bar on a terminal, as plain text when piped."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, prefixed with its level from WARNING up."""
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


def show(renderable: Any, stream: TextIO) -> None:
    """Print a rich table or text; when piped, wide enough that no column is truncated, and without trailing spaces."""
    from rich.console import Console

    if stream.isatty():
        Console(file=stream, highlight=False).print(renderable)
        return
    console = Console(file=stream, width=None if "COLUMNS" in os.environ else PIPED_WIDTH, highlight=False)
    with console.capture() as captured:
        console.print(renderable)
    stream.writelines(f"{line.rstrip()}\n" for line in captured.get().removesuffix("\n").split("\n"))


@contextlib.contextmanager
def stdout_for_results() -> Iterator[TextIO]:
    """Reserve stdout for the result, and yield a stream to it: libraries and child processes print to stderr."""
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
