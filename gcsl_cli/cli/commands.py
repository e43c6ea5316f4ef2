"""The command line: all commands of `gcsl`, with their options.

Typer handles commands, options and exit codes; Hydra handles configs, multirun and launchers. A stage command composes
its config first and reports mistakes itself (exit 2), then lets Hydra run the jobs. Neither torch nor Hydra is imported
at the top, which keeps `gcsl --help` fast.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gcsl_cli import COMMAND, __version__
from gcsl_cli.cli import console, stopping
from gcsl_cli.cli.failures import explain
from gcsl_cli.cli.help import ExamplesCommand, Group, StageCommand
from gcsl_cli.cli.options import Options, check_unicode, refuse_unknown
from gcsl_cli.errors import ConfigError, did_you_mean, listed
from gcsl_cli.runs import ranks

app = typer.Typer(
    cls=Group,
    name="gcsl",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
STAGE_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
STAGES = {
    "prepare": "Collect graded feedback; choose levels; plan the batches.",
    "train": "Fine-tune on the feedback, preparing it if needed.",
    "generate": "Sample completions of the test prompts for a goal.",
    "evaluate": "Compare with the base model; run missing stages first.",
}
FORMATS = ("table", "markdown", "csv", "latex")
INTERRUPTED = 130
"""What Typer turns an interrupt into."""

Multirun = Annotated[bool, typer.Option("--multirun", "-m", help="Start one run per combination of a,b,c values.")]
Cfg = Annotated[str | None, typer.Option("--cfg", "-c", metavar="job|hydra|all", help="Print the config and exit.")]
Resolve = Annotated[bool, typer.Option("--resolve", help="With --cfg: resolve ${...}.")]
Package = Annotated[str | None, typer.Option("--package", "-p", metavar="NODE", help="With --cfg: only this node.")]
Info = Annotated[
    str | None,
    typer.Option(
        "--info", "-i", metavar="WHAT", help="Hydra's view: all, config, defaults, defaults-tree, plugins, searchpath."
    ),
]
ConfigDir = Annotated[Path | None, typer.Option("--config-dir", metavar="FOLDER", help="Your own config groups.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout, the rest on stderr.")]
HydraHelp = Annotated[bool, typer.Option("--hydra-help", help="Show Hydra's own options and groups.")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
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
    """Run the stage of the same name."""
    from gcsl_cli.cli.launch import launch

    options = Options(multirun, cfg, resolve, package, info, config_dir, json, hydra_help)
    return launch(str(context.info_name), refuse_unknown(context.args, context), options)


for _name, _help in STAGES.items():
    app.command(_name, help=_help, cls=StageCommand, context_settings=STAGE_SETTINGS)(stage)


@app.command(cls=ExamplesCommand)
def compare(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[FOLDER|GLOB|KEY=VALUE]...", show_default=False)] = None,
    *,
    baseline: Annotated[
        str | None, typer.Option("--baseline", "-b", metavar="ROW", help="Row to compare against, base by default.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", "-f", metavar="table|markdown|csv|latex", help="Output format.")
    ] = "table",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the report and tables.")
    ] = None,
    config_dir: ConfigDir = None,
    json: Json = False,
) -> int:
    """Compare runs over their seeds, with paired differences."""
    if form not in FORMATS:
        raise ConfigError(f"--format {form}: expected {listed(FORMATS)}.{did_you_mean(form, FORMATS)}")
    with console.stdout_for_results() as stream:
        from gcsl_cli.cli.results import write_json
        from gcsl_cli.reports.comparison import report
        from gcsl_cli.stages.compare import run

        result = run(runs or [], baseline, output, config_dir)
        if json:
            write_json(result | {"exit_code": 0}, stream)
        elif form == "table":
            for table in report.terminal_tables(result):
                console.show(table, stream)
            stream.write(f"report: {result['report']}\n")
        else:
            stream.write(getattr(report, f"comparison_{form}")(result))
    return 0


@app.command(name="inspect", cls=ExamplesCommand)
def inspect_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Graded completions: JSON, CSV or Parquet.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", show_default=False)] = None,
    *,
    rows: Annotated[int, typer.Option("--rows", metavar="N", help="Read only the first N rows; 0: all.")] = 50_000,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.jsonl", help="Write rows: prompt, completion, score.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option("--pairs", metavar="FILE.jsonl", help="Write pairs: prompt, chosen, rejected.")
    ] = None,
    config_dir: ConfigDir = None,
    json: Json = False,
) -> int:
    """Show how a file of graded completions is read, or convert it."""
    if rows < 0:
        raise ConfigError(f"--rows {rows}: must be at least 1, or 0 for all rows.")
    with console.stdout_for_results() as stream:
        from gcsl_cli.cli.results import write_finished
        from gcsl_cli.stages.inspection import run

        result = run(file, overrides or [], first=rows or None, output=output, pairs=pairs, config_dir=config_dir)
        write_finished(result, stream, as_json=json)
    return 0


@app.command(cls=ExamplesCommand)
def chat(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a trained run.")],
    *,
    prompt: Annotated[str | None, typer.Option("--prompt", metavar="TEXT", help="Answer this text and exit.")] = None,
    goal: Annotated[
        str | None, typer.Option("--goal", metavar="GOAL", help="Goal: best, worst, a level, none or NAME=LEVEL.")
    ] = None,
    guidance: Annotated[float, typer.Option("--guidance", metavar="W", help="Guidance weight; 0: none.")] = 0.0,
    temperature: Annotated[float, typer.Option("--temperature", metavar="T", help="Sampling temperature.")] = 1.0,
    top_p: Annotated[float, typer.Option("--top-p", metavar="P", help="Nucleus sampling; 1: all tokens.")] = 0.9,
    tokens: Annotated[int, typer.Option("--tokens", metavar="N", help="Maximum tokens per answer.")] = 200,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Sampling seed.")] = 0,
) -> None:
    """Talk to a trained model, asking for one goal or another."""
    from gcsl_cli.configs import ranges

    for problem in (
        *ranges.guidance("--guidance", guidance),
        *ranges.temperature("--temperature", temperature),
        *ranges.top_p("--top-p", top_p),
        *ranges.count("--tokens", tokens),
        *ranges.seed("--seed", seed),
    ):
        raise ConfigError(problem)
    with console.stdout_for_results():
        from gcsl_cli.cli.chat import ChatSession
        from gcsl_cli.stages.chat import Chat, ChatSettings

        model = Chat(run)
        settings = ChatSettings(goal, guidance, temperature, top_p, tokens, seed)
        model.argument(goal)
    interactive = prompt is None and sys.stdin.isatty() and sys.stdout.isatty()
    conversation = ChatSession(model, settings, sys.stdout, interactive)
    if prompt is None:
        conversation.run()
    else:
        conversation.answer(prompt)


@app.command(cls=ExamplesCommand)
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a trained run.")],
    *,
    to: Annotated[str, typer.Option("--to", metavar="FOLDER|hf://OWNER/NAME", help="Where to write the model.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository on the Hub private.")] = False,
    json: Json = False,
) -> int:
    """Write a trained model with a model card, to a folder or the Hub."""
    with console.stdout_for_results() as stream:
        from gcsl_cli.cli.results import write_finished
        from gcsl_cli.stages.export import run as export_run

        result = export_run(run, to, private=private)
        write_finished(result, stream, as_json=json)
    return 0


@app.command(cls=ExamplesCommand)
def score(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Prompts and completions.", show_default=False)],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="scorer=NAME|KEY=VALUE", show_default=False)] = None,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The graded file, FILE-graded by default.")
    ] = None,
    column: Annotated[str, typer.Option("--column", metavar="NAME", help="Column for the grades.")] = "score",
    config_dir: ConfigDir = None,
    json: Json = False,
) -> int:
    """Grade a file of prompts and completions with any scorer."""
    with console.stdout_for_results() as stream:
        from gcsl_cli.cli.results import write_finished
        from gcsl_cli.stages.score import run

        result = run(file, overrides or [], output, column, config_dir)
        write_finished(result, stream, as_json=json)
    return 0


@app.command()
def doctor(
    json: Json = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Test the sandbox with hostile programs; takes minutes.")
    ] = False,
) -> int:
    """Show versions, devices, cache, disk and optional packages."""
    from gcsl_cli.cli.doctor import attack, attack_report, examine, report
    from gcsl_cli.cli.results import write_json

    with console.stdout_for_results() as stream:
        found = attack() if sandbox else examine()
        if json:
            write_json(found, stream)
        else:
            console.show(attack_report(found) if sandbox else report(found), stream)
    return 1 if sandbox and found["broken"] else 0


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line `argv` (default: `sys.argv`) and exit the process with its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    # Jobs read the command from here: Hydra replaces sys.argv, and a job may run in another process.
    os.environ[COMMAND] = shlex.join(["gcsl", *arguments])
    console.setup()
    as_json = "--json" in arguments
    with stopping.sigterm_as_ctrl_c():
        try:
            check_unicode(arguments)
            code = app(arguments, prog_name="gcsl", standalone_mode=False)
            sys.stdout.flush()
            if code == INTERRUPTED:
                code = stopping.report(as_json=as_json)
        except BrokenPipeError:
            # Redirect stdout to null, so that Python does not fail when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except (KeyboardInterrupt, typer.Abort):
            code = stopping.report(as_json=as_json)
        except Exception as error:  # noqa: BLE001
            code = _failed(error, as_json=as_json)
    sys.exit(code or 0)


def _failed(error: Exception, *, as_json: bool) -> int:
    # Usage errors of Typer are recognized by their shape: their class has moved between versions.
    usage: Any = getattr(error, "format_message", None)
    code, message = (2, f"{usage()} See gcsl --help.") if callable(usage) else explain(error)
    if not ranks.leads() and isinstance(error, ConfigError):
        return 0  # the same mistake in every process: the leader reports it, and its exit code is the launcher's
    console.log.error(message)
    if as_json and ranks.leads():
        from gcsl_cli.cli.jobs import FAILED
        from gcsl_cli.cli.results import write_json

        write_json({"status": FAILED, "message": message, "exit_code": code}, sys.stdout)
    return code
