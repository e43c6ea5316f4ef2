"""One stage command from its override lines to an exit code: check everything, hand over to Hydra, show the result."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gcsl_cli.cli import console
from gcsl_cli.cli.jobs import hand_over, run_jobs
from gcsl_cli.cli.options import Options
from gcsl_cli.cli.results import write_single, write_sweep
from gcsl_cli.configs import Composer, finish, without_hydra
from gcsl_cli.configs.folders import conf_dir


def launch(stage: str, lines: Sequence[str], options: Options) -> int:
    """Run a stage once, or once a member of a multirun; the worst exit code of its jobs.

    Raises:
        GcslError: a mistake that is found before the first job starts.
    """
    options.check()
    arguments = [*lines, *options.arguments()]
    composer = Composer(options.config_dir)
    if options.only_shows:
        # A config with values missing or out of range can be looked at; one that cannot be composed cannot.
        composer.compose(lines)
        hand_over(arguments, conf_dir())
        return 0
    multirun = options.multirun or any(line.replace(" ", "").upper() == "HYDRA.MODE=MULTIRUN" for line in lines)
    members = composer.members(lines) if multirun else [list(lines)]
    composed = [composer.compose(member) for member in members]
    if not multirun and str(composed[0].hydra.mode).endswith("MULTIRUN"):
        multirun, members = True, composer.members(lines)
        composed = [composer.compose(member) for member in members]
    for config, member in zip(composed, members, strict=True):
        finish(without_hydra(config), member)
    with console.stdout_for_results() as stream:
        outcomes = run_jobs(stage, members, arguments, conf_dir(), _hydra_dir(composed[0], multirun=multirun))
        try:
            if multirun:
                write_sweep(outcomes, stream, as_json=options.json)
            else:
                if outcomes[0].code:
                    console.log.error(str(outcomes[0].result["message"]))
                write_single(outcomes[0], stream, as_json=options.json)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return max(outcome.code for outcome in outcomes)


def _hydra_dir(composed: Any, *, multirun: bool) -> Path:
    """Where Hydra keeps its own files: out of the user's sight, on the file system of the runs."""
    node = composed.hydra.sweep if multirun else composed.hydra.run
    return Path(str(node.dir))
