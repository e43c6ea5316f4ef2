"""Print the result of a command on stdout: tables for people or, with `--json`, one JSON document."""

import json
from collections.abc import Sequence
from typing import Any, TextIO

from gcsl_cli.cli import console
from gcsl_cli.cli.jobs import Outcome
from gcsl_cli.runs.files import json_value, plain_value


def write_single(outcome: Outcome, stream: TextIO, *, as_json: bool) -> None:
    """Print the result of one run. A failure prints nothing here, because its message is already on stderr."""
    if as_json:
        write_json(document(outcome), stream)
    elif not outcome.code:
        _write_result(outcome.result, stream)


def write_finished(result: dict[str, Any], stream: TextIO, *, as_json: bool) -> None:
    """Print the result of a command that is no stage, and has not failed."""
    if as_json:
        write_json(result | {"exit_code": 0}, stream)
    else:
        _write_result(result, stream)


def write_sweep(outcomes: Sequence[Outcome], stream: TextIO, *, as_json: bool) -> None:
    """Print all runs of a multirun, as one table or as `{"jobs": [...]}`."""
    if as_json:
        jobs = [{"job": outcome.job, "overrides": outcome.overrides} | document(outcome) for outcome in outcomes]
        write_json({"jobs": jobs}, stream)
        return
    from gcsl_cli.reports.tables import sweep_table

    unknown = {"status": "", "message": "", "run": "", "columns": {}}
    rows = [unknown | outcome.result | {"job": outcome.job, "overrides": outcome.overrides} for outcome in outcomes]
    console.show(sweep_table(rows), stream)


def document(outcome: Outcome) -> dict[str, Any]:
    """The JSON document of a result: the keys of its stage and the exit code."""
    return outcome.result | {"exit_code": outcome.code}


def write_json(value: Any, stream: TextIO) -> None:
    """Write one JSON document; numbers that are not finite become null."""
    text = json.dumps(json_value(value), indent=2, ensure_ascii=False, allow_nan=False, default=plain_value)
    stream.write(text + "\n")
    stream.flush()


def _write_result(result: dict[str, Any], stream: TextIO) -> None:
    from rich.table import Table
    from rich.text import Text

    message = (
        result.get("message") or f"{result.get('stage', '')}: {result.get('status', 'done')}, {result.get('run', '')}"
    )
    stream.write(f"{message}\n")
    if result.get("summary"):
        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(overflow="fold")  # a path is never cut
        for label, value in result["summary"]:
            table.add_row(Text(str(label)), Text(str(value)))
        console.show(table, stream)
    if result.get("result"):
        from gcsl_cli.reports.evaluation import terminal_tables

        for part in terminal_tables(result["result"]):
            console.show(part, stream)
    stream.flush()
