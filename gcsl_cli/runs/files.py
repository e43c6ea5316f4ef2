"""Write files atomically, read JSON back, and explain disk errors."""

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gcsl_cli.errors import RunError, StorageError, text_of

PARTIAL = ".part"
"""Suffix of files and folders that are still being written. Their names also start with a dot."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_FULL_TEXTS = (
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "iostream error",
    "unexpected pos",
)
"""What safetensors and torch say of a file that they could not write; their errors have no number."""
UNUSABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)


def disk_full(path: Path | str) -> StorageError:
    """Return the error for a disk that is full while writing `path`."""
    return StorageError(
        f"The disk is full while writing {path}. Free some space and run the same command again; "
        "finished work is saved."
    )


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, or a path that cannot be written, into a `StorageError` that names `path`."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise disk_full(path) from error
        if isinstance(error, OSError) and error.errno in UNUSABLE:
            raise unusable(path, error) from error
        raise


def is_disk_full(error: BaseException) -> bool:
    """Return True if a file could not be written for lack of space."""
    numbered = isinstance(error, OSError) and error.errno in DISK_FULL
    return numbered or any(text in text_of(error) for text in DISK_FULL_TEXTS)


def unusable(path: Path, error: OSError) -> StorageError:
    """Return the error for a path that cannot be written."""
    return StorageError(
        f"Cannot write {path}: {error.strerror}. Choose a folder that you can write to (runs_dir=PATH or run=PATH for "
        "runs, the environment variable GCSL_CACHE for the cache, --output for a comparison)."
    )


def make_folder(path: Path) -> None:
    """Create a folder and its parents if they are missing.

    Raises:
        StorageError: it cannot be created there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_full(path) if is_disk_full(error) else unusable(path, error) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file next to `path` that replaces `path` if the block succeeds and is removed if it fails.

    Raises:
        StorageError: the disk is full, the folder is not writable, or `path` is a device or a folder.
    """
    # Renaming over a device such as /dev/null would remove it for the whole machine.
    if path.exists() and not path.is_file():
        raise StorageError(f"Cannot write {path}: it exists and is not a file. Choose another path.")
    make_folder(path.parent)
    with storage_errors(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            sync(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


def resolved(path: Path | str) -> Path:
    """Return the absolute path without links; a link that leads back to itself stays as it is."""
    return Path(os.path.realpath(path))  # Path.resolve fails at such a link


def checksum(path: Path) -> str:
    """Compute the SHA-256 of a file as hexadecimal digits, without loading the whole file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_partial(path: Path) -> bool:
    """Return True if `path` is named like a file or folder that is still being written."""
    return path.name.startswith(".") and path.name.endswith(PARTIAL)


def remove_partial(folder: Path) -> None:
    """Remove the unfinished files that a killed process left in `folder`. No other process may be writing there."""
    for path in [path for path in folder.rglob(f".*{PARTIAL}") if is_partial(path)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def json_value(value: Any) -> Any:
    """The value with null in place of NaN and infinity, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): json_value(inner) for key, inner in value.items()}
    return [json_value(inner) for inner in value] if isinstance(value, list | tuple) else value


def plain_value(value: Any) -> Any:
    """Convert a value that JSON cannot represent: NumPy and torch scalars to numbers, everything else to text."""
    return value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else str(value)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that gcsl wrote.

    Raises:
        RunError: the file is missing, truncated or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such file; the run folder is incomplete. Run again with force=true.") from error
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{path}: not valid JSON ({error}). It was truncated or edited; delete the folder {path.parent} and run "
            "the same command again."
        ) from error
    if not isinstance(value, dict):
        raise RunError(f"{path}: expected a JSON object, found {type(value).__name__}.")
    return value
