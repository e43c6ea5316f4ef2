"""Complete checkpoints are used; incomplete ones are removed."""

import contextlib
import os
from pathlib import Path

import pytest

from gcsl_cli.configs.choices import Strategy
from gcsl_cli.errors import RunError, StorageError
from gcsl_cli.training.checkpoints import MARK, check_strategy, keep_newest, mark_complete, newest_complete


def checkpoint(folder: Path, step: int, *, marked: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    (path / "inner").mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"x" * 100)
    (path / "inner" / "state.json").write_text("{}", encoding="utf-8")
    if marked:
        mark_complete(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_newest_checkpoint_by_step_is_used(tmp_path: Path) -> None:
    checkpoint(tmp_path, 9)
    newest = checkpoint(tmp_path, 100)
    checkpoint(tmp_path, 20)

    assert newest_complete(tmp_path) == newest


def test_folder_without_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-best").mkdir()

    assert newest_complete(tmp_path) is None
    assert newest_complete(tmp_path / "missing") is None
    assert names(tmp_path) == ["checkpoint-best"]


@pytest.mark.parametrize(
    "damage", ["unmarked", "truncated", "zeroed", "flipped", "missing", "mark cut off", "mark empty"]
)
def test_incomplete_checkpoint_is_dropped_for_the_previous_one(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = checkpoint(tmp_path, 10)
    broken = checkpoint(tmp_path, 20, marked=damage != "unmarked")
    weights, mark = broken / "model.safetensors", broken / MARK
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:50])
    elif damage == "zeroed":
        weights.write_bytes(b"\0" * 100)
    elif damage == "flipped":
        (broken / "inner" / "state.json").write_bytes(b"{|")
    elif damage == "missing":
        (broken / "inner" / "state.json").unlink()
    elif damage == "mark cut off":
        mark.write_bytes(mark.read_bytes()[:20])
    elif damage == "mark empty":
        mark.write_text('{"files": {}}', encoding="utf-8")

    assert newest_complete(tmp_path) == before
    assert names(tmp_path) == ["checkpoint-10"]
    kind = "incomplete" if damage == "unmarked" or damage.startswith("mark") else "damaged"
    assert f"checkpoint-20 is {kind} (" in caplog.text


@pytest.mark.parametrize("mark", ["[]", "null", '{"files": ["model.safetensors"]}', "{}"])
def test_malformed_mark_is_ignored(tmp_path: Path, mark: str, caplog: pytest.LogCaptureFixture) -> None:
    path = checkpoint(tmp_path, 10)
    (path / MARK).write_text(mark, encoding="utf-8")

    assert newest_complete(tmp_path) is None
    assert "no checkpoint is left: training starts again at the first step" in caplog.text


def test_a_file_in_place_of_a_checkpoint_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-30").touch()
    path = checkpoint(tmp_path, 10)

    assert newest_complete(tmp_path) == path


def test_files_are_on_the_disk_before_the_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    path = checkpoint(tmp_path, 10)

    assert synced[:-1] == [path / "inner/state.json", path / "model.safetensors"]
    assert synced[-1].name.startswith(f".{MARK}")


def test_additional_file_is_ignored(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 10)
    (path / "notes.txt").touch()

    assert newest_complete(tmp_path) == path


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        checkpoint(tmp_path, step)

    keep_newest(tmp_path, 2)

    assert names(tmp_path) == ["checkpoint-10", "checkpoint-100"]


def test_full_disk_leaves_the_checkpoint_unmarked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training resumes from the previous checkpoint."""
    before = checkpoint(tmp_path, 10)
    cut_off = checkpoint(tmp_path, 20, marked=False)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"disk is full while writing .*checkpoint-20"):
            mark_complete(cut_off)

    assert names(cut_off) == ["inner", "model.safetensors"]
    assert newest_complete(tmp_path) == before


@pytest.mark.parametrize(
    ("files", "strategy", "refused"),
    [
        (["optimizer.pt"], Strategy.ddp, None),
        (["optimizer.bin", "pytorch_model_fsdp.bin"], Strategy.fsdp2, None),
        (["optimizer.bin", "pytorch_model_fsdp.bin"], Strategy.ddp, "strategy=fsdp2 and cannot be resumed with ddp or"),
        (["optimizer.pt"], Strategy.fsdp2, "strategy=ddp, or in one process, and cannot be resumed with fsdp2"),
        (["global_step3", "latest"], Strategy.zero3, None),
        (["global_step3", "latest"], Strategy.fsdp2, "strategy=zero3 and cannot be resumed with fsdp2"),
    ],
)
def test_a_checkpoint_is_resumed_by_its_own_strategy(
    tmp_path: Path, files: list[str], strategy: Strategy, refused: str | None
) -> None:
    for name in files:
        (tmp_path / name).touch()

    with pytest.raises(RunError, match=refused) if refused else contextlib.nullcontext():
        check_strategy(tmp_path, strategy)
