"""The command line: `gcsl prepare|train|generate|evaluate [OVERRIDES...]` and `gcsl doctor`.

Typer owns commands, options and exit codes; Hydra owns configs, multirun and launchers. A command composes its
configuration first and answers mistakes itself (exit 2), then hands over to Hydra. Nothing here imports torch or Hydra
at the top, so that `gcsl --help` is quick.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gcsl_cli import COMMAND, __version__
from gcsl_cli.cli import console
from gcsl_cli.cli.failures import INTERRUPTED, INTERRUPTED_LINE, explain
from gcsl_cli.cli.manual import CompareCommand, Group, StageCommand
from gcsl_cli.cli.options import Options, refuse_unknown

HELP_NAMES: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    cls=Group,
    name="gcsl",
    help="Fine-tune language models on graded feedback by goal-conditioned supervised learning.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP_NAMES,
)
STAGE_SETTINGS = {**HELP_NAMES, "allow_extra_args": True, "ignore_unknown_options": True}
STAGES = {
    "prepare": "Make graded feedback, levels and the batch plan.",
    "train": "Fine-tune on the feedback; prepares it when missing.",
    "generate": "Sample completions of the test prompts for a goal.",
    "evaluate": "Compare with the base model; does all that is missing.",
}

Multirun = Annotated[bool, typer.Option("--multirun", "-m", help="One run for every combination of a,b,c values.")]
Cfg = Annotated[str | None, typer.Option("--cfg", "-c", metavar="job|hydra|all", help="Print the config and stop.")]
Resolve = Annotated[bool, typer.Option("--resolve", help="With --cfg: fill in ${...}.")]
Package = Annotated[str | None, typer.Option("--package", "-p", metavar="NODE", help="With --cfg: only this node.")]
Info = Annotated[
    str | None,
    typer.Option(
        "--info", "-i", metavar="WHAT", help="Hydra's view: all, config, defaults, defaults-tree, plugins, searchpath."
    ),
]
ConfigDir = Annotated[Path | None, typer.Option("--config-dir", metavar="FOLDER", help="Your own config groups.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout, all else on stderr.")]
HydraHelp = Annotated[bool, typer.Option("--hydra-help", help="Hydra's own options and groups.")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Fine-tune language models on graded feedback by goal-conditioned supervised learning."""
    if version:
        typer.echo(f"gcsl {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), nl=False)
        raise typer.Exit


def stage(
    context: typer.Context,
    *,
    multirun: Multirun = False,
    cfg: Cfg = None,
    resolve: Resolve = False,
    package: Package = None,
    info: Info = None,
    config_dir: ConfigDir = None,
    json: Json = False,
    hydra_help: HydraHelp = False,
) -> int:
    """Run the stage that the command is named after."""
    from gcsl_cli.cli.launch import launch

    options = Options(multirun, cfg, resolve, package, info, config_dir, json, hydra_help)
    return launch(str(context.info_name), refuse_unknown(context.args, context), options)


for _name, _help in STAGES.items():
    app.command(_name, help=_help, cls=StageCommand, context_settings=STAGE_SETTINGS)(stage)


@app.command(cls=CompareCommand, context_settings={**HELP_NAMES, "ignore_unknown_options": False})
def compare(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[FOLDER|GLOB|KEY=VALUE]...", show_default=False)] = None,
    *,
    baseline: Annotated[
        str | None, typer.Option("--baseline", "-b", metavar="ROW", help="Take differences to this row, not to base.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", "-f", metavar="table|markdown|csv|latex", help="What is printed.")
    ] = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where files go.")] = None,
    config_dir: ConfigDir = None,
    json: Json = False,
) -> int:
    """Set runs beside each other: seeds, differences, reports."""
    from gcsl_cli.cli.compare import run_comparison

    return run_comparison(runs or [], baseline, form, output, config_dir, as_json=json)


@app.command()
def doctor(json: Json = False) -> int:
    """Show versions, devices, cache, disk, optional parts."""
    from gcsl_cli.cli.doctor import examine, report
    from gcsl_cli.cli.results import write_json

    with console.stdout_for_results() as stream:
        found = examine()
        if json:
            write_json(found, stream)
        else:
            console.show(report(found), stream)
    return 0


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line `argv` (default: the process's own) and end the process with its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    # Hydra puts its own command line into sys.argv, and jobs may run in other processes.
    os.environ[COMMAND] = shlex.join(["gcsl", *arguments])
    console.setup()
    try:
        code = app(arguments, prog_name="gcsl", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # Typer has turned the interrupt into an exit code
            code = _interrupted()
    except BrokenPipeError:
        _close_quietly()
        code = 0
    except (KeyboardInterrupt, typer.Abort):
        code = _interrupted()
    except Exception as error:  # noqa: BLE001
        code = _failed(error, as_json="--json" in arguments)
    sys.exit(code or 0)


def _interrupted() -> int:
    sys.stderr.write(f"\n{INTERRUPTED_LINE}\n")
    return INTERRUPTED


def _failed(error: Exception, *, as_json: bool) -> int:
    code, message = _usage(error) or explain(error)
    console.log.error(message)
    if as_json:
        from gcsl_cli.cli.results import failure_document, write_json

        write_json(failure_document(message, code), sys.stdout)
    return code


def _usage(error: Exception) -> tuple[int, str] | None:
    """Typer's own errors; their class has moved between versions, their shape has not."""
    format_message: Any = getattr(error, "format_message", None)
    return (2, f"{format_message()} See gcsl --help.") if callable(format_message) else None


def _close_quietly() -> None:
    """The reader of our output has gone: nothing more can be said, and Python must not try at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
