"""Several runs from one command line, and a user's own config folder, with the real stages."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests import outputs
from tests.commands import gcsl

Lines = Callable[[Path], list[str]]
FOUR = ["-m", "goal.levels.values=[0.5],[0.6],[5],[0.7]"]
REFUSED = "goal.levels.values: no row reaches the level 5"


def test_four_runs_of_which_one_fails(tmp_path: Path, small_run: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three others are finished, the table names all four, the failure's code is the exit code."""
    monkeypatch.setenv("COLUMNS", "400")
    runs = tmp_path / "runs"
    ended = gcsl("train", *small_run(runs), *FOUR)
    assert ended.code == 2
    assert f"Error: run 3 of 4 failed: {REFUSED}" in ended.err
    assert "Traceback" not in ended.err
    folders = sorted(runs.glob("toxicity/threshold-*"))
    assert sorted(outputs.finished(folder) for folder in folders) == [False, True, True, True]
    trained = [folder for folder in folders if outputs.finished(folder)]
    assert all(folder.name in ended.out for folder in trained)
    assert all(f"[{value}]" in ended.out for value in (0.5, 0.6, 5, 0.7))
    assert REFUSED in ended.out
    goals = [json.loads((folder / "goal.json").read_text(encoding="utf-8")) for folder in trained]
    assert {goal["levels"][-1] for goal in goals} == {0.5, 0.6, 0.7}


def test_a_member_of_a_multirun_is_the_same_run_by_itself(tmp_path: Path, small_run: Lines) -> None:
    """So the same line with -m again finds all runs done, and so does a single run of the same overrides."""
    runs = tmp_path / "runs"
    assert gcsl("train", *small_run(runs), "-m", "seed=0,1").code == 0
    again = json.loads(gcsl("train", *small_run(runs), "-m", "seed=0,1", "--json").out)["jobs"]
    assert [job["status"] for job in again] == ["already done", "already done"]
    single = json.loads(gcsl("train", *small_run(runs), "seed=1", "--json").out)
    assert (single["status"], single["run"]) == ("already done", again[1]["run"])


def test_a_users_own_config_folder(tmp_path: Path, small_run: Lines) -> None:
    """Its groups stand beside ours; what it says is part of the run."""
    own = tmp_path / "own"
    (own / "trainer").mkdir(parents=True)
    (own / "trainer/slow.yaml").write_text("# @package train\ndefaults: [default]\nlearning_rate: 1.0e-6\n")
    ended = gcsl("train", *small_run(tmp_path / "runs"), "trainer=slow", "--config-dir", str(own))
    assert ended.code == 0, ended.err
    config = (outputs.training(tmp_path / "runs") / "config.yaml").read_text(encoding="utf-8")
    assert "learning_rate: 1.0e-06" in config
    assert "max_steps: 4" in config


def test_parallel_jobs_that_need_the_same_feedback_make_it_once(tmp_path: Path, small_run: Lines) -> None:
    """Two processes of joblib's launcher; the second waits for the first one's lock and reads what it made."""
    lines = [*small_run(tmp_path / "runs"), "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1", "--json"]
    program = [sys.executable, "-m", "gcsl_cli", "prepare", "-m", *lines]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("graded rows in") == 1
    jobs = json.loads(ended.stdout)["jobs"]
    assert [job["status"] for job in jobs] == ["done", "done"]
    assert len({job["run"] for job in jobs}) == 2
    outputs.only(tmp_path / "runs", "toxicity/feedback-*")


def test_jobs_of_submitit(tmp_path: Path, small_run: Lines) -> None:
    """Each job is a process of its own, which reads its pickled task; the outcomes come back through files."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    lines = [*small_run(tmp_path / "runs"), "hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=1"]
    program = [sys.executable, "-m", "gcsl_cli", "prepare", "-m", *lines, "seed=0,1", "--json"]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    jobs = json.loads(ended.stdout)["jobs"]
    assert [job["status"] for job in jobs] == ["done", "done"]
    assert len({job["run"] for job in jobs}) == 2
    outputs.only(tmp_path / "runs", "toxicity/feedback-*")


def test_a_search_gets_the_number_of_each_run(tmp_path: Path, small_run: Lines) -> None:
    """Optuna saves the lowest of the validation losses, and the rate that led to it."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.sampler.seed=0"]
    lines = [*small_run(tmp_path / "runs"), "adapter=none", "train.learning_rate=interval(1e-4,1e-2)", *search]
    ended = gcsl("train", "-m", *lines, "--json")

    assert ended.code == 0, ended.err
    jobs = json.loads(ended.out)["jobs"]
    assert len({job["objective"] for job in jobs}) == 2
    best = min(jobs, key=lambda job: job["objective"])
    saved = yaml.safe_load((tmp_path / "runs/.hydra/optimization_results.yaml").read_text())
    assert saved["best_value"] == best["objective"]
    assert f"train.learning_rate={saved['best_params']['train.learning_rate']}" in best["overrides"]
