"""Log lines on stderr, silenced libraries, and stdout reserved for results."""

import io
import logging
import os

import pytest
from rich.table import Table

from gcsl_cli.cli import console


@pytest.fixture(autouse=True)
def _logging(monkeypatch: pytest.MonkeyPatch) -> None:
    console.setup()


def test_log_lines_go_to_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    console.setup()
    logging.getLogger("gcsl").info("one [bold]line[/bold]")
    logging.getLogger("gcsl").warning("two")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "one [bold]line[/bold]\nWarning: two\n")


def test_piped_tables_have_wide_columns_and_no_trailing_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table, stream = Table(box=None, show_header=False), io.StringIO()
    table.add_row("short", "a")
    table.add_row("wide", "b" * 300)
    console.show(table, stream)
    assert stream.getvalue() == f" short  a\n wide   {'b' * 300}\n"


def test_variables_set_by_the_user_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    console.silence_libraries()
    assert os.environ["TRANSFORMERS_VERBOSITY"] == "info"


def test_stdout_is_kept_for_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    with console.stdout_for_results() as stream:
        print("noise")
        stream.write("result\n")
    print("after")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("result\nafter\n", "noise\n")
