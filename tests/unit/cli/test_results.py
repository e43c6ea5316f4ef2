"""Results on stdout, for people: tables that fit the terminal and cut no path."""

import io

import pytest

from gcsl_cli.cli.results import write_finished

PATH = "/data/experiments/of-the-whole-group/gcsl/runs/feedback/threshold-language-smollm2-s0-5a467dcf"


@pytest.mark.parametrize("width", [60, 80])
def test_tables_fit_the_terminal_and_cut_no_path(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    summary = [["run folder", PATH], ["rows cut at the length limit", "of words, which go on in the next line " * 3]]
    stream = io.StringIO()
    write_finished({"message": "done", "summary": summary}, stream, as_json=False)
    lines = stream.getvalue().splitlines()

    assert max(map(len, lines)) <= width
    assert PATH in "".join(line[30:].rstrip() for line in lines)
