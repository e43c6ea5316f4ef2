"""Run identities and run folders: done once, resumed, refused, locked."""

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from gcsl_cli.errors import RunError, StorageError
from gcsl_cli.runs import folders as runs
from gcsl_cli.runs.folders import Folder, identity
from tests.disks import make_read_only

KEYS = {"seed": 0, "goal": {"levels": [0.25, 0.5], "placement": "before_prompt"}}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "run", "training", KEYS, parent="f00d")


def do(folder: Folder, force: bool = False) -> bool:
    """Work in the folder as a stage does; return True if there was work to do."""
    with folder.working(force) as todo:
        if todo:
            (folder.path / "result.txt").write_text("result", encoding="utf-8")
            folder.finish(rows=3)
    return todo


def manifest(folder: Folder) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder.path / "manifest.json").read_text(encoding="utf-8"))
    return values


def test_an_identity_is_that_of_its_keys_in_any_order() -> None:
    assert identity("training", {"a": 1, "b": 2}, "p") == identity("training", {"b": 2, "a": 1}, "p")


@pytest.mark.parametrize(
    ("kind", "keys", "parent"),
    [
        ("generation", {"a": 1}, "p"),
        ("training", {"a": 2}, "p"),
        ("training", {"a": 1, "b": None}, "p"),
        ("training", {"a": 1}, "q"),
        ("training", {"a": "1"}, "p"),
    ],
)
def test_another_kind_key_or_parent_is_another_identity(kind: str, keys: dict[str, Any], parent: str) -> None:
    assert identity(kind, keys, parent) != identity("training", {"a": 1}, "p")


def test_the_identity_is_fixed_for_this_format_version() -> None:
    """The first ten hex digits of sha256 of `[2, "training", "p", {"a": 1}]`; runs on disk are found by it."""
    assert identity("training", {"a": 1}, "p") == "1b0277044f"


def test_work_is_done_once(folder: Folder) -> None:
    assert not folder.done()
    assert [do(folder), do(folder)] == [True, False]
    assert folder.done()


def test_the_manifest_records_identity_versions_and_facts(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCSL_COMMAND", "gcsl train seed=0")
    do(folder)

    written = manifest(folder)

    assert written["format_version"] == 2
    assert (written["kind"], written["parent"], written["keys"]) == ("training", "f00d", KEYS)
    assert written["identity"] == folder.identity
    assert (written["rows"], written["command"]) == (3, "gcsl train seed=0")
    assert written["finished"].endswith("+00:00")
    assert 0 <= written["seconds"] < 60


def test_interrupted_work_resumes(folder: Folder) -> None:
    def interrupted() -> None:
        with folder.working():
            (folder.path / "half.txt").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert not folder.done()
    assert do(folder)
    assert (folder.path / "half.txt").exists()


def test_force_empties_the_folder_first(folder: Folder) -> None:
    do(folder)
    (folder.path / "inner").mkdir()
    (folder.path / "inner" / "old.txt").touch()
    (folder.path / "old.txt").touch()

    assert do(folder, force=True)
    assert sorted(entry.name for entry in folder.path.iterdir() if entry.name != ".lock") == [
        "manifest.json",
        "result.txt",
    ]


def test_a_partial_manifest_of_a_killed_process_does_not_block_the_folder(folder: Folder) -> None:
    folder.path.mkdir()
    (folder.path / ".manifest.json.k1ll3d.part").write_text("{", encoding="utf-8")

    assert do(folder)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_with_other_files_is_left_alone(folder: Folder, force: bool) -> None:
    folder.path.mkdir()
    (folder.path / "thesis.tex").touch()

    with pytest.raises(
        RunError, match=r"is not empty and contains no manifest\.json, so it is not a run of gcsl.*run=PATH"
    ):
        do(folder, force)
    assert (folder.path / "thesis.tex").exists()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("version", [1, None, "2"])
def test_another_format_version_is_refused(folder: Folder, version: Any, force: bool) -> None:
    do(folder)
    changed = manifest(folder) | {"format_version": version}
    (folder.path / "manifest.json").write_text(json.dumps(changed), encoding="utf-8")

    with pytest.raises(
        RunError, match=rf"format version {version}; this gcsl .* reads 2\. Use the version of gcsl that wrote it"
    ):
        do(folder, force)
    assert (folder.path / "result.txt").exists()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            Folder(
                Path(), "training", {"seed": 1, "goal": {"levels": [0.25, 0.5], "placement": "after_prompt"}}, "f00d"
            ),
            r"another run: goal\.placement is before_prompt there and after_prompt here; seed is 0 there and 1 here\.",
        ),
        (
            Folder(Path(), "training", {"goal": KEYS["goal"], "new": True}, "f00d"),
            "new is unset there and True here; seed is 0 there and unset here",
        ),
        (Folder(Path(), "training", KEYS, "beef"), "it is based on other feedback or another model"),
        (Folder(Path(), "feedback", KEYS, "f00d"), "it is a training folder, not a feedback folder"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_run_of_another_config_is_refused_and_kept(folder: Folder, other: Folder, message: str, force: bool) -> None:
    do(folder)
    here = Folder(folder.path, other.kind, other.keys, other.parent)

    with pytest.raises(RunError, match=message):
        here.done()
    with pytest.raises(RunError, match=message):
        do(here, force)
    assert (folder.path / "result.txt").exists()


def test_a_truncated_manifest_is_refused(folder: Folder) -> None:
    do(folder)
    path = folder.path / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8")[:30], encoding="utf-8")

    with pytest.raises(RunError, match=r"manifest\.json: not valid JSON .* delete the folder .*run and run the same"):
        do(folder)


def test_a_file_in_place_of_the_folder_is_refused(folder: Folder) -> None:
    folder.path.write_text("a file", encoding="utf-8")

    with pytest.raises(StorageError, match=r"Cannot write .*run: File exists"):
        do(folder)


def test_a_full_disk_leaves_the_work_undone(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    do(folder)
    before = manifest(folder)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"The disk is full while writing .*manifest\.json"):
        folder.finish(rows=4)

    assert manifest(folder) == before
    assert sorted(entry.name for entry in folder.path.iterdir()) == [".lock", "manifest.json", "result.txt"]


def test_two_processes_do_not_both_work(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    """Another process holds the lock and finishes the work; the waiting one logs that and finds it done."""
    caplog.set_level(logging.INFO, "gcsl")
    do(folder)
    finished = (folder.path / "manifest.json").read_text(encoding="utf-8")
    (folder.path / "manifest.json").unlink()
    (folder.path / "result.txt").unlink()
    logged = threading.Event()
    found: list[bool] = []

    class Notify(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.set()

    handler = Notify()
    logging.getLogger("gcsl").addHandler(handler)
    waiting = threading.Thread(target=lambda: found.append(do(folder)), daemon=True)
    with FileLock(folder.path / ".lock", thread_local=False):
        waiting.start()
        assert logged.wait(30)
        (folder.path / "manifest.json").write_text(finished, encoding="utf-8")
    waiting.join(30)
    logging.getLogger("gcsl").removeHandler(handler)

    assert found == [False]
    assert caplog.messages == [f"waiting for another process that is using {folder.path}"]


def test_the_lock_is_free_after_an_error(folder: Folder) -> None:
    with pytest.raises(ValueError, match="broken"), folder.working():
        raise ValueError("broken")

    lock = FileLock(folder.path / ".lock")
    lock.acquire(timeout=0)
    assert lock.is_locked
    lock.release()


def test_keys_that_json_cannot_represent_are_written_as_text(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "run", "training", {"path": Path("a/b")})
    do(folder)

    assert manifest(folder)["keys"] == {"path": "a/b"}
    assert Folder(tmp_path / "run", "training", {"path": Path("a/b")}).done()
    assert runs.FORMAT_VERSION == 2


def test_finished_work_can_be_read_where_nothing_can_be_written(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(folder)
    make_read_only(folder.path, monkeypatch)

    assert do(folder) is False
    with pytest.raises(StorageError, match="Cannot write"):
        do(folder, force=True)


def test_unfinished_work_cannot_go_on_where_nothing_can_be_written(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.path.mkdir()
    make_read_only(folder.path, monkeypatch)

    with pytest.raises(StorageError, match=r"Cannot write .*Read-only file system"):
        do(folder)


@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_changed_files_are_found_when_they_are_read_again(tmp_path: Path, kind: str) -> None:
    folder = Folder(tmp_path / "run", kind, KEYS)
    with folder.working():
        (folder.path / "model/deep").mkdir(parents=True)
        for name in ("model/config.json", "model/deep/weights", "metrics.json", "notes.txt"):
            (folder.path / name).write_text("0123", encoding="utf-8")
        folder.finish("model", "metrics.json")
    assert folder.verified("model") == folder.path / "model"

    (folder.path / "notes.txt").write_text("0124", encoding="utf-8")
    (folder.path / "model/deep/weights").write_text("0124", encoding="utf-8")

    assert folder.verified("metrics.json") == folder.path / "metrics.json"
    with pytest.raises(RunError, match=r"model/deep/weights is damaged: .* (force=true|Delete it)"):
        folder.verified("model")
    (folder.path / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"metrics\.json is damaged"):
        folder.verified("metrics.json")
