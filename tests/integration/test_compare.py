"""gcsl compare through the real command line, on runs of a tiny model."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import gcsl

Lines = Callable[[Path], list[str]]
NAMES = ["comparison.csv", "comparison.json", "comparison.md", "comparison.tex", "report.html"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare") / "runs"


@pytest.fixture(scope="module")
def lines(runs: Path, small_run: Lines) -> list[str]:
    """Two seeds of goals and of plain fine-tuning, all evaluated."""
    lines = [*small_run(runs), "task.feedback.texts=null", "evaluation.bootstrap=20"]
    ended = gcsl("evaluate", "-m", *lines, "seed=0,1", "method=gcsl,sft", "--json")
    assert ended.code == 0, ended.err
    return lines


def test_a_task_is_enough(lines: list[str], runs: Path) -> None:
    ended = gcsl("compare", "task=toxicity", f"runs_dir={runs}", "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)

    assert [row["label"] for row in result["rows"]] == ["base", "sft all", "threshold-language"]
    assert [row["seeds"] for row in result["rows"]] == [[], [0, 1], [0, 1]]
    assert result["baseline"] == "base"
    assert result["left_out"] == []
    folder = Path(result["report"]).parent
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    evaluated = json.loads(gcsl("evaluate", *lines, "method=sft", "--json").out)["result"]["arms"][-1]["metrics"]
    mine = next(row for row in result["rows"] if row["label"] == "sft all")["metrics"]
    name = "expected_maximum_toxicity"
    assert mine[name]["per_seed"][0] == pytest.approx(evaluated[name]["value"])


def test_the_override_lines_of_a_sweep_name_its_runs(lines: list[str], tmp_path: Path) -> None:
    ended = gcsl("compare", *lines, "method=sft", "seed=0,1,2", "-o", str(tmp_path / "out"), "-f", "csv")
    assert ended.code == 0, ended.err
    rows = list(csv.DictReader(io.StringIO(ended.out)))

    assert {row["row"] for row in rows} == {"base", "sft all"}
    assert "not trained yet: gcsl evaluate" in ended.err
    assert "seed=2" in ended.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == NAMES


def test_folders_and_globs(lines: list[str], runs: Path) -> None:
    pattern = str(runs / "toxicity" / "threshold-*")
    ended = gcsl("compare", pattern, str(runs / "nothing"), "--format", "markdown")

    assert ended.code == 0, ended.err
    assert "| threshold-language | 2 |" in ended.out
    assert "nothing: matches nothing." in ended.err


def test_what_is_half_done_or_broken_is_said_and_the_rest_is_compared(
    lines: list[str], runs: Path, tmp_path: Path
) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    first, second = sorted((tmp_path / "runs" / "toxicity").glob("sft-*"))
    manifest = json.loads((first / "manifest.json").read_text(encoding="utf-8"))
    (first / "manifest.json").write_text(json.dumps({**manifest, "finished": None}), encoding="utf-8")
    for path in second.glob("evaluations/*/metrics.json"):
        path.write_text("{", encoding="utf-8")
    ended = gcsl("compare", str(tmp_path / "runs"), "--json")
    result = json.loads(ended.out)

    assert ended.code == 0, ended.err
    assert [row["label"] for row in result["rows"]] == ["base", "threshold-language"]
    assert [line.split(": ", 1)[1][:30] for line in result["left_out"]] == [
        "its training is not finished; ",
        f"{next(second.glob('evaluations/*')).name}: metrics.json"[:30],
    ]


def test_a_baseline_that_is_not_there(lines: list[str], runs: Path) -> None:
    ended = gcsl("compare", str(runs), "--baseline", "sft al", "--json")

    document = json.loads(ended.out)
    assert (ended.code, document["exit_code"]) == (2, 2)
    assert "--baseline 'sft al': not among the rows. Did you mean sft all? The rows are: base; " in document["message"]


def test_a_chosen_baseline(lines: list[str], runs: Path) -> None:
    rows = json.loads(gcsl("compare", str(runs), "--baseline", "sft all", "--json").out)["rows"]
    goals = next(row for row in rows if row["label"] == "threshold-language")

    assert len(goals["difference"]["perplexity"]["per_seed"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing*"], "There is nothing to compare. Left out: nothing*: matches nothing."),
        (["task=toxicity", "runs_dir=nowhere"], "There is nothing to compare."),
        (["task=feedback"], "There is nothing to compare."),  # without task.path
        (["task=toxicty"], "Did you mean toxicity?"),
        (["--format", "tabel"], "--format tabel: expected table, markdown, csv, latex. Did you mean table?"),
    ],
)
def test_nothing_to_compare(arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = gcsl("compare", *arguments)

    assert ended.code == 2
    assert said in ended.err
