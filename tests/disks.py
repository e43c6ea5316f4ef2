"""Disks that cannot be written, whoever runs the tests: root may write everywhere."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest


def make_read_only(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let everything fail that makes a file or a folder below `folder`, as on a read-only file system."""
    real_open, real_mkdir = os.open, os.mkdir

    def refuse(path: Any) -> None:
        if Path(path).absolute().is_relative_to(folder):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def read_only_open(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse(path)
        return real_open(path, flags, *rest, **named)

    def read_only_mkdir(path: Any, *rest: Any, **named: Any) -> None:
        if not Path(path).is_dir():
            refuse(path)
        real_mkdir(path, *rest, **named)

    patch.setattr(os, "open", read_only_open)
    patch.setattr(os, "mkdir", read_only_mkdir)
