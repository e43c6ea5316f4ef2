"""The compare command: check its options, run the comparison, print it in the requested format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from gcsl_cli.cli import console
from gcsl_cli.cli.results import write_json
from gcsl_cli.errors import ConfigError, did_you_mean, listed

FORMATS = ("table", "markdown", "csv", "latex")


def run_comparison(
    selectors: Sequence[str],
    baseline: str | None,
    form: str,
    output: Path | None,
    config_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Compare runs, print the result and return exit code 0.

    Raises:
        ConfigError: an option or an override is invalid.
        DataError: there is nothing to compare.
    """
    if form not in FORMATS:
        raise ConfigError(f"--format {form}: expected {listed(FORMATS)}.{did_you_mean(form, FORMATS)}")
    with console.stdout_for_results() as stream:
        from gcsl_cli.stages.compare import run

        result = run(selectors, baseline, output, config_dir)
        if as_json:
            write_json(result | {"exit_code": 0}, stream)
        else:
            _print(result, form, stream)
    return 0


def _print(result: dict[str, Any], form: str, stream: TextIO) -> None:
    from gcsl_cli.reports.comparison import report

    if form == "table":
        for table in report.terminal_tables(result):
            console.show(table, stream)
        stream.write(f"report: {result['report']}\n")
        return
    forms = {"markdown": report.comparison_markdown, "csv": report.comparison_csv, "latex": report.comparison_latex}
    stream.write(forms[form](result))
