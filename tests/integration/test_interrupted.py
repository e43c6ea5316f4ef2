"""Killed or interrupted at any point, the same command finishes the run with the result of an uninterrupted one."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import outputs
from tests.commands import gcsl, gcsl_until

Lines = Callable[[Path], list[str]]
EXPERIMENT = ["adapter=none", "train.max_steps=8", "generation.guidance=1"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, small_run: Lines) -> Path:
    """The runs folder of the experiment that nothing disturbed."""
    runs = tmp_path_factory.mktemp("uninterrupted") / "runs"
    ended = gcsl("evaluate", *small_run(runs), *EXPERIMENT)
    assert ended.code == 0, ended.err
    return runs


def assert_same(runs: Path, uninterrupted: Path) -> None:
    assert outputs.feedback(runs) == outputs.feedback(uninterrupted)
    outputs.assert_same_training(outputs.training(runs), outputs.training(uninterrupted))
    assert outputs.generations(runs) == outputs.generations(uninterrupted)
    assert outputs.metrics(runs) == outputs.metrics(uninterrupted)


def leftovers(runs: Path) -> list[Path]:
    """Half-written files and folders."""
    return [path for path in runs.rglob(".*") if path.name not in {".lock", ".hydra"} and ".hydra" not in path.parts]


KILLED = [
    ("prepare", "*/feedback-*/manifest.json", None),
    ("prepare", "*/feedback-*/shards/00002.parquet", "feedback-*/shards/00001.parquet"),
    ("prepare", "*/feedback.parquet", "feedback-*/shards/00003.parquet"),
    ("train", "*/plan.parquet", "feedback-*/feedback.parquet"),
    ("train", "*/checkpoint-6/complete.json", "*/checkpoints/checkpoint-4/complete.json"),
    ("train", "*/model", "*/checkpoints/checkpoint-8/complete.json"),
    ("generate", "*/best-w1-*/shards/00001.parquet", "*/generations/best-w1-*/shards/00000.parquet"),
    ("evaluate", "*/report.html", "*/generations/best-w1-*/generations.parquet"),
]
INTERRUPTED = [
    KILLED[1],
    ("train", "*/checkpoint-6/complete.json", "*/checkpoints/checkpoint-7/complete.json"),  # saved at the step's end
    *KILLED[-2:],
]


@pytest.mark.parametrize(("stage", "point", "kept"), KILLED)
def test_killed(tmp_path: Path, small_run: Lines, uninterrupted: Path, stage: str, point: str, kept: str) -> None:
    lines = [*small_run(tmp_path / "runs"), *EXPERIMENT]
    stopped = gcsl_until(point, signal.SIGKILL, tmp_path, stage, *lines)
    assert (stopped.code, stopped.out) == (-signal.SIGKILL, "")
    assert_goes_on(stage, lines, tmp_path / "runs", kept, uninterrupted)


SIGNALS = [(signal.SIGINT, *case) for case in INTERRUPTED] + [(signal.SIGTERM, *INTERRUPTED[1])]


@pytest.mark.parametrize(("sent", "stage", "point", "kept"), SIGNALS)
def test_interrupted(
    tmp_path: Path, small_run: Lines, uninterrupted: Path, sent: signal.Signals, stage: str, point: str, kept: str
) -> None:
    lines = [*small_run(tmp_path / "runs"), *EXPERIMENT]
    stopped = gcsl_until(point, sent, tmp_path, stage, *lines)
    assert (stopped.code, stopped.out) == (128 + sent, "")
    assert stopped.err.endswith("ed. Finished work is saved; run the same command to resume.\n")
    assert "Traceback" not in stopped.err
    assert leftovers(tmp_path / "runs") == []
    assert_goes_on(stage, lines, tmp_path / "runs", kept, uninterrupted)


def assert_goes_on(stage: str, lines: list[str], runs: Path, kept: str | None, uninterrupted: Path) -> None:
    """The same command ends well, what was whole is not made again, and the experiment's result is the same."""
    whole = outputs.only(runs, f"toxicity/{kept}") if kept else None
    made = whole.stat().st_mtime_ns if whole else 0
    ended = gcsl(stage, *lines)
    assert (ended.code, f"{stage}: done, " in ended.out) == (0, True), ended.err
    if whole and whole.exists():  # checkpoints go when training is done
        assert whole.stat().st_mtime_ns == made
    assert leftovers(runs) == []
    assert gcsl("evaluate", *lines).code == 0
    assert_same(runs, uninterrupted)
