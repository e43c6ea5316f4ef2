"""Select and unpack members of a possibly hostile archive."""

import stat
import zipfile
from pathlib import Path

import pytest

from gcsl_cli.data.artifacts.archive import BrokenArchiveError, select, unpack
from gcsl_cli.errors import ArtifactError

NAMES = ["pkg/data/a.txt", "pkg/data/b.txt", "pkg/data/c.csv", "pkg/data/deep/d.txt", "pkg/odd[1].txt", "pkg/odd1.txt"]


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("pkg/data/a.txt", ["pkg/data/a.txt"]),
        ("pkg/data/", ["pkg/data/a.txt", "pkg/data/b.txt", "pkg/data/c.csv", "pkg/data/deep/d.txt"]),
        ("pkg/data/*.txt", ["pkg/data/a.txt", "pkg/data/b.txt"]),
        ("pkg/data/[bc].*", ["pkg/data/b.txt", "pkg/data/c.csv"]),
        ("pkg/odd[1].txt", ["pkg/odd[1].txt"]),
    ],
)
def test_member_is_a_file_a_folder_or_a_pattern(member: str, expected: list[str]) -> None:
    assert select(NAMES, member, "w.whl") == expected


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("pkg/data/aa.txt", r"Did you mean 'pkg/data/a\.txt'"),
        ("elsewhere/entirely/deep/d.txt", r"Did you mean .*'pkg/data/deep/d\.txt'"),
        ("pkg/data", "That is a folder: write 'pkg/data/'"),
        ("pkg/date/", "Did you mean 'pkg/data/'"),
        ("zzz", "List the wheel's members"),
    ],
)
def test_missing_member_suggests_similar_ones(member: str, said: str) -> None:
    with pytest.raises(ArtifactError, match=rf"w\.whl has no '{member}'.*{said}"):
        select(NAMES, member, "w.whl")


def symbolic_link(name: str) -> zipfile.ZipInfo:
    """An entry marked as a symbolic link, as written by `zip --symlinks`."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (zipfile.ZipInfo("../evil.txt"), "leaves the archive"),
        (zipfile.ZipInfo("pkg/../../evil.txt"), "leaves the archive"),
        (zipfile.ZipInfo("/evil.txt"), "leaves the archive"),
        (zipfile.ZipInfo("pkg\\..\\evil.txt"), "leaves the archive"),
        (zipfile.ZipInfo("C:/evil.txt"), "leaves the archive"),
        (symbolic_link("pkg/evil.txt"), "is a symbolic link"),
    ],
)
def test_hostile_archive_writes_nothing(entry: zipfile.ZipInfo, said: str, tmp_path: Path) -> None:
    archive = tmp_path / "w.whl"
    with zipfile.ZipFile(archive, "w") as wheel:
        wheel.writestr("pkg/good.txt", "good")
        wheel.writestr(entry, "evil")
    target = tmp_path / "below" / "target"
    target.mkdir(parents=True)
    with pytest.raises(ArtifactError, match=said):
        unpack(archive, "pkg/", target)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {archive}


def test_non_archive_is_broken(tmp_path: Path) -> None:
    (tmp_path / "w.whl").write_bytes(b"<html>not found</html>")
    with pytest.raises(BrokenArchiveError):
        unpack(tmp_path / "w.whl", "a.txt", tmp_path / "target")


def test_damaged_member_is_broken(tmp_path: Path) -> None:
    archive = tmp_path / "w.whl"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as wheel:
        wheel.writestr("a.txt", "graded feedback")
    archive.write_bytes(archive.read_bytes().replace(b"graded", b"gradex"))
    with pytest.raises(BrokenArchiveError, match="Bad CRC-32"):
        unpack(archive, "a.txt", tmp_path / "target")
