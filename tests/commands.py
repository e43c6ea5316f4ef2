"""Run the real command line in this process, or in a separate one that is killed when it writes a chosen file.

Separate processes are forked from a server that has imported torch and TRL already: importing takes ten seconds.
"""

import contextlib
import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

# Whatever a run of all stages imports; a name that cannot be imported is ignored by the server.
PRELOADED = [
    "gcsl_cli.cli.commands",
    "gcsl_cli.cli.launch",
    "gcsl_cli.stages.evaluate",
    "gcsl_cli.training.sft",
    "hydra",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "profanity_check",
]


@dataclass(frozen=True)
class Ended:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


def gcsl(*arguments: str) -> Ended:
    """Run a command line in this process."""
    from gcsl_cli.cli import commands as cli

    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(list(arguments))
        except SystemExit as end:
            code = end.code
    return Ended(int(code or 0), out.getvalue(), err.getvalue())


def gcsl_until(point: str | int, sent: signal.Signals, folder: Path, *arguments: str) -> Ended:
    """Run a command line in a separate process and send it a signal just before it renames a file into place.

    Args:
        point: Pattern of the path of that file, such as `*/shards/00001.parquet`, or its place among all files. The
            file does not exist yet when the signal arrives; all files written earlier do.
        sent: The signal.
        folder: Folder for what the process prints.
        arguments: The command line.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_main, args=(point, int(sent), folder, list(arguments)))
    process.start()
    process.join()
    out, err = ((folder / stream).read_text(encoding="utf-8") for stream in ("out", "err"))
    return Ended(int(process.exitcode or 0), out, err)


def _main(point: str | int, sent: int, folder: Path, arguments: Sequence[str]) -> None:
    from gcsl_cli.cli import commands as cli

    fired, renamed = False, 0

    def watch(event: str, details: tuple[Any, ...]) -> None:
        nonlocal fired, renamed
        if event != "os.rename":
            return
        renamed += 1
        if not fired and (renamed == point if isinstance(point, int) else fnmatch(str(details[1]), point)):
            fired = True
            os.kill(os.getpid(), sent)

    for stream, descriptor in (("out", 1), ("err", 2)):
        file = os.open(folder / stream, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
    # Python ignores Ctrl-C in a background process.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.addaudithook(watch)
    cli.main(list(arguments))
