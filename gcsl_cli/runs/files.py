"""Files that appear whole or not at all, and the errors of a disk in words."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gcsl_cli.errors import RunError, StorageError

PARTIAL = ".part"
"""How the names of files and folders end while they are being written; they begin with a dot."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full disk and a forbidden folder into a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"The disk is full while writing {path}. Free some space and run the same command again: "
                "what is finished is kept."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise StorageError(
                f"Cannot write {path}: {error.strerror}. Choose a folder that you may write "
                "(runs_dir=PATH for runs, the environment variable GCSL_CACHE for the cache)."
            ) from error
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; when the block ends well it takes the place of `path`, else it goes.

    Raises:
        StorageError: the disk is full, the folder cannot be written, or `path` is a device or a folder.
    """
    # Renamed over, a device like /dev/null would be gone for all of the machine.
    if path.exists() and not path.is_file():
        raise StorageError(f"Cannot write {path}: it is there and is no file. Choose another path.")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def is_partial(path: Path) -> bool:
    """Whether the name is one of a file or folder that is being written."""
    return path.name.startswith(".") and path.name.endswith(PARTIAL)


def remove_partial(folder: Path) -> None:
    """Remove what a killed process left half-written below the folder; nobody may be writing there."""
    for path in [path for path in folder.rglob(f".*{PARTIAL}") if is_partial(path)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that gcsl wrote.

    Raises:
        RunError: it is missing, cut off or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such file; the run folder is incomplete. Run with force=true.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(
            f"{path}: not valid JSON ({error}). It is cut off or was edited; delete the folder {path.parent} and run "
            "the same command again."
        ) from error
    if not isinstance(value, dict):
        raise RunError(f"{path}: expected a JSON object, found {type(value).__name__}.")
    return value
