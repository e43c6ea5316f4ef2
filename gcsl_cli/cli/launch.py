"""Run one stage command: check the config of every run, let Hydra run the jobs, print the result."""

import os
from collections.abc import Sequence
from pathlib import Path

from gcsl_cli.cli import console
from gcsl_cli.cli.in_process import run_here
from gcsl_cli.cli.jobs import run_hydra, run_jobs
from gcsl_cli.cli.options import Options
from gcsl_cli.cli.results import write_single, write_sweep
from gcsl_cli.configs import Composer, finish, gathered, without_hydra
from gcsl_cli.errors import ConfigError
from gcsl_cli.runs import ranks


def launch(stage: str, lines: Sequence[str], options: Options) -> int:
    """Run a stage, once or as a multirun, and return the highest exit code of its jobs.

    Raises:
        GcslError: a mistake found before the first job starts.
    """
    options.check()
    lines = gathered(lines)
    arguments = [*lines, *options.arguments()]
    composer = Composer(options.config_dir)
    if options.only_shows:
        # It is enough that the config composes: missing or invalid values are no reason not to show it.
        options.check_package(composer.compose(lines))
        run_hydra(arguments)
        return 0
    multirun = options.multirun or any(line.replace(" ", "").upper() == "HYDRA.MODE=MULTIRUN" for line in lines)
    members = composer.members(lines) if multirun else [list(lines)]
    composed = [composer.compose(member) for member in members]
    if not multirun and str(composed[0].hydra.mode).endswith("MULTIRUN"):
        multirun, members = True, composer.members(lines)
        composed = [composer.compose(member) for member in members]
    configs = [finish(without_hydra(config), member) for config, member in zip(composed, members, strict=True)]
    if ranks.count() > 1 and multirun:
        raise ConfigError(
            f"A launcher has started {ranks.count()} processes, but a multirun starts those of each run itself: run "
            "gcsl without a launcher, with distributed=ddp."
        )
    if not ranks.leads():
        run_here(stage, configs[0])
        return 0
    with console.stdout_for_results() as stream:
        node = composed[0].hydra.sweep if multirun else composed[0].hydra.run  # hidden, on the file system of the runs
        outcomes = run_jobs(stage, members, arguments, Path(str(node.dir)))
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
