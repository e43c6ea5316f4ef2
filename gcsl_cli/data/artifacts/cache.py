"""Where fetched artifacts live, and the checksum that tells whether one is whole."""

import hashlib
import os
import sys
from pathlib import Path

from gcsl_cli.errors import StorageError


def cache_dir() -> Path:
    """The folder for downloads and conversions: `GCSL_CACHE`, else `gcsl` in the user's cache folder.

    It is not created here.

    Raises:
        StorageError: there is neither `GCSL_CACHE` nor a home folder.
    """
    try:
        own = os.environ.get("GCSL_CACHE")
        return Path(own).expanduser().absolute() if own else _user_cache() / "gcsl"
    except RuntimeError as error:
        raise StorageError(f"No cache folder: {error} Set the environment variable GCSL_CACHE to a folder.") from error


def _user_cache() -> Path:
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG base directory specification says that a relative path is to be ignored.
    if xdg.is_absolute():
        return xdg
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path.home() / ".cache"


def checksum(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; reads it in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
