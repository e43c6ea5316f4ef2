"""The pip command line, and pip's failures as errors; `test_wheels.py` runs the real pip."""

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.data.artifacts.pip_download import BrokenDownloadError, UnavailableError, download_wheel
from gcsl_cli.errors import DependencyError


def pip_says(stderr: str, monkeypatch: pytest.MonkeyPatch, returncode: int = 1) -> list[list[str]]:
    """Replace pip by a fake; returns the commands that it receives."""
    commands: list[list[str]] = []

    def run(command: list[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, returncode, "", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


NOT_FOUND = """WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError': /simple/a/
ERROR: Could not find a version that satisfies the requirement a==1 (from versions: none)
ERROR: No matching distribution found for a==1
"""
OTHER_HASH = f"""ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated ...
    a==1 from https://host/a.whl:
        Expected sha256 {"0" * 64}
             Got        {"ab" * 32}
"""


@pytest.mark.parametrize(
    ("stderr", "kind", "said"),
    [
        (NOT_FOUND, UnavailableError, r"^No matching distribution found for a==1$"),
        (OTHER_HASH, BrokenDownloadError, "ab" * 32),
        (
            "WARNING: noise\nERROR: Connection broken.\n\n[notice] new pip\n",
            BrokenDownloadError,
            "^pip says: Connection broken$",
        ),
        ("", BrokenDownloadError, "^pip says: nothing$"),
        ("/usr/bin/python: No module named pip", DependencyError, "python -m ensurepip"),
    ],
)
def test_pip_failures(
    stderr: str, kind: type[Exception], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_says(stderr, monkeypatch)
    with pytest.raises(kind, match=said):
        download_wheel("a==1", "0" * 64, tmp_path)


@pytest.mark.parametrize(
    "line", ["OSError: [Errno 28] No space left on device", "OSError: [Errno 122] Disk quota exceeded"]
)
def test_full_disk_during_pip(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip_says(f"ERROR: Could not install packages due to an {line}", monkeypatch)
    with pytest.raises(OSError, match=str(tmp_path)) as caught:
        download_wheel("a==1", "0" * 64, tmp_path)
    assert caught.value.errno == errno.ENOSPC


def test_success_without_a_wheel_is_a_broken_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip_says("", monkeypatch, returncode=0)
    with pytest.raises(BrokenDownloadError):
        download_wheel("a==1", "0" * 64, tmp_path)


@pytest.mark.parametrize("use_pip_cache", [True, False])
def test_pip_must_check_the_hash(use_pip_cache: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = pip_says("", monkeypatch)
    with pytest.raises(BrokenDownloadError):
        download_wheel("a==1", "ab" * 32, tmp_path, use_pip_cache=use_pip_cache)
    (command,) = commands
    assert command[:5] == [sys.executable, "-P", "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "--require-hashes"} <= set(command)
    assert ("--no-cache-dir" in command) is not use_pip_cache
    assert (tmp_path / "requirements.txt").read_text() == f"a==1 --hash=sha256:{'ab' * 32}\n"
