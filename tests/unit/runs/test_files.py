"""Atomic writes on a disk that works, is full or is read-only."""

import errno
import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from gcsl_cli.data.records import GOAL_ROWS, write_table
from gcsl_cli.errors import RunError, StorageError
from gcsl_cli.runs.files import (
    make_folder,
    read_json,
    remove_partial,
    storage_errors,
    whole_file,
    write_json,
    write_text,
)
from gcsl_cli.runs.locks import locked

FULL = Path("/dev/full")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def half_written(path: Path, error: BaseException) -> None:
    """Write half of a file, then fail."""
    with whole_file(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise error


def test_a_file_appears_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "text.txt"

    write_text(path, "grün\n")

    assert path.read_bytes() == "grün\n".encode()
    assert names(path.parent) == ["text.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_json_is_readable_and_comes_back(tmp_path: Path) -> None:
    value = {"text": "grün 😀", "numbers": [1, 2.5, None]}
    write_json(tmp_path / "x.json", value)

    assert read_json(tmp_path / "x.json") == value
    assert "grün 😀" in (tmp_path / "x.json").read_text(encoding="utf-8")


def test_the_old_file_stays_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    write_text(path, "old")

    with whole_file(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old"

    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.EIO, "broken disk")])
def test_a_block_that_fails_leaves_everything_as_it_was(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "text.txt"
    write_text(path, "old")

    with pytest.raises(type(error)):
        half_written(path, error)

    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["text.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, number: int) -> None:
    path = tmp_path / "text.txt"

    with pytest.raises(StorageError, match=r"The disk is full while writing .*text\.txt\. Free some space"):
        half_written(path, OSError(number, os.strerror(number)))

    assert names(tmp_path) == []


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_text(path, "text"),
        lambda path: write_json(path, {}),
        lambda path: write_table(path, pa.table({"row": [1], "level": [0]}, schema=GOAL_ROWS)),
    ],
    ids=["text", "json", "parquet"],
)
def test_a_device_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]) -> None:
    """The temporary file is a link to /dev/full, so that the kernel itself reports a full disk."""
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def on_full_device(prefix: str, suffix: str, dir: Path) -> tuple[int, str]:  # noqa: A002
        link = dir / f"{prefix}link{suffix}"
        link.symlink_to(FULL)
        return os.open(link, os.O_RDONLY), str(link)

    monkeypatch.setattr(tempfile, "mkstemp", on_full_device)

    with pytest.raises(StorageError, match="disk is full"):
        write(path)

    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["file"]


def test_a_device_or_a_folder_is_not_renamed_over(tmp_path: Path) -> None:
    """A pipe stands in for /dev/null, which root could replace."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(StorageError, match="it exists and is not a file"):
            write_text(tmp_path / name, "x")
    assert (tmp_path / "pipe").is_fifo()
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "folder"}


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match=r"Cannot write .*/file: (File exists|Not a directory)\. Choose a folder"):
        write_text(tmp_path / "file" / "text.txt", "text")
    with pytest.raises(StorageError, match="Cannot write"):
        write_text(tmp_path / "file" / "deeper" / "text.txt", "text")


def test_only_partial_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / ".00001.parquet.k1ll3d.part").touch()
    (tmp_path / ".model-k1ll3d.part" / "inner").mkdir(parents=True)
    for kept in (".lock", "book.part", ".hidden", "shards/00000.parquet"):
        (tmp_path / kept).touch()

    remove_partial(tmp_path)

    assert names(tmp_path) == [".hidden", ".lock", "book.part", "shards"]
    assert names(tmp_path / "shards") == ["00000.parquet"]


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_that_only_the_text_of_an_error_tells(tmp_path: Path) -> None:
    """torch and safetensors raise errors without a number."""
    import torch
    from safetensors.torch import save_file

    weights = {"a": torch.zeros(99)}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    for write in (lambda path: torch.save(weights, path), lambda path: save_file(weights, path)):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (9, limit[1]))
            with pytest.raises(StorageError, match="The disk is full"), storage_errors(tmp_path):
                write(tmp_path / "weights")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)


@pytest.mark.parametrize("path", ["loop", "loop/x", "file", "file/x", "n" * 256, "/proc/x"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, path: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"Cannot write .*Choose a folder that you can write to"):
        make_folder(tmp_path / path)


def test_a_folder_in_place_of_a_lock(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with (
        pytest.raises(StorageError, match=r"Cannot write .*\.lock: Is a directory"),
        locked(tmp_path / ".lock", "busy"),
    ):
        pass


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG])
def test_a_folder_without_write_permission(tmp_path: Path, number: int) -> None:
    with pytest.raises(StorageError, match=r"Cannot write .*runs_dir=PATH.*GCSL_CACHE"), storage_errors(tmp_path):
        raise OSError(number, os.strerror(number))


def test_other_errors_of_a_disk_are_not_reworded(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="broken disk") as caught, storage_errors(tmp_path):
        raise OSError(errno.EIO, "broken disk")

    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1', "not valid JSON .* delete the folder"),
        (b"", "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b"[1]", "expected a JSON object, found list"),
    ],
)
def test_json_that_gcsl_did_not_write(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)

    with pytest.raises(RunError, match=rf"x\.json: {message}"):
        read_json(path)


def test_json_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"x\.json: no such file; .* force=true"):
        read_json(tmp_path / "x.json")
