"""Finding and reading runs; each problem is one short line."""

import json
from pathlib import Path

import pytest

from gcsl_cli.reports.comparison.runs import matching, read_runs
from gcsl_cli.runs.folders import FORMAT_VERSION
from tests.unit.reports.comparison.made import make_run, write

ARMS = {"base": [0.4, 0.2], "worst": [0.5, 0.5], "best": [0.1, 0.2]}


def test_runs_are_found_by_folder_by_parent_and_by_glob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [make_run(tmp_path / "runs" / "toxicity" / name, ARMS) for name in ("a-s0", "a-s1", "b-s0")]
    monkeypatch.chdir(tmp_path)

    assert matching([str(runs[0])]) == ([runs[0]], [])
    assert matching([str(tmp_path / "runs")]) == (runs, [])
    assert matching([str(tmp_path / "runs" / "toxicity" / "a-*")]) == (runs[:2], [])
    assert matching(["runs/*/b-*"]) == ([Path("runs/toxicity/b-s0")], [])
    assert matching([str(runs[0]), str(tmp_path / "runs")]) == (runs, [])


def test_a_pattern_without_a_run_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found, problems = matching([str(tmp_path / "nothing*"), str(tmp_path / "empty")])

    assert found == []
    assert problems == [f"{tmp_path}/nothing*: matches nothing.", f"{tmp_path}/empty: contains no run."]


@pytest.mark.parametrize(("pattern", "said"), [("x" * 300, "File name too long"), ("a**", "Invalid pattern")])
def test_what_cannot_be_a_pattern_is_a_line(pattern: str, said: str) -> None:
    found, (problem,) = matching([pattern])

    assert (found, problem.startswith(f"{pattern}: {said}")) == ([], True)


def test_evaluations_are_read_newest_first(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", ARMS, evaluation="old", finished="2026-01-01")
    make_run(folder, ARMS, evaluation="new", finished="2026-02-01", seed=3)
    (run,), problems = read_runs([folder])

    assert problems == []
    assert [evaluation.path.name for evaluation in run.evaluations] == ["new", "old"]
    assert (run.seed, "seed" in run.keys) == (3, False)
    assert run.evaluations[0].values()["best"]["toxicity"].numerator.tolist() == [0.1, 0.2]


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("manifest.json", {"finished": None}, "its training is not finished"),
        ("manifest.json", {"format_version": 9}, "made by a different version of gcsl (format 9; this one reads 2)"),
        ("manifest.json", {"keys": []}, "manifest.json is not what gcsl wrote (its keys are [])."),
        ("manifest.json", {"keys": {"seed": "x", "method": {"label": "a"}}}, "manifest.json is not what gcsl wrote"),
        ("manifest.json", {"keys": {"seed": 0}}, "manifest.json is not what gcsl wrote"),
        ("evaluations/best-1/manifest.json", {"files": {"values.parquet": "0"}}, "values.parquet is damaged"),
        ("evaluations/best-1/manifest.json", {"finished": None}, "best-1: its evaluation is not finished"),
        (
            "evaluations/best-1/metrics.json",
            {"format_version": 1},
            "by a different version of gcsl (format 1)",
        ),
        ("evaluations/best-1/metrics.json", {"arms": []}, "nothing was sampled, so there are no metrics"),
    ],
)
def test_a_run_that_cannot_be_compared_is_one_line(
    tmp_path: Path, file: str, changes: dict[str, object], said: str
) -> None:
    folder = make_run(tmp_path / "run", ARMS)
    path = folder / file
    write(path, json.loads(path.read_text(encoding="utf-8")) | changes)
    runs, problems = read_runs([folder])

    assert runs == []
    assert len(problems) == 1
    assert problems[0].startswith(f"{folder}: ")
    assert said in problems[0]


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\xff"])
def test_broken_files_leave_the_other_runs(tmp_path: Path, text: str) -> None:
    whole, broken = (make_run(tmp_path / name, ARMS) for name in ("whole", "broken"))
    (broken / "evaluations" / "best-1" / "metrics.json").write_text(text, encoding="utf-8")
    runs, problems = read_runs([broken, whole])

    assert [run.path for run in runs] == [whole]
    assert "metrics.json is missing or unreadable" in problems[0]


def test_a_run_without_evaluations_says_how_to_get_one(tmp_path: Path) -> None:
    write(
        tmp_path / "run" / "manifest.json",
        {"format_version": FORMAT_VERSION, "kind": "training", "finished": "x", "keys": {}},
    )

    assert read_runs([tmp_path / "run"]) == (
        [],
        [f"{tmp_path}/run: not evaluated yet; run gcsl evaluate with its overrides."],
    )
