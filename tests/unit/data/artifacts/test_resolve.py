"""Location of the cache, checksums, and resolving URIs by scheme."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gcsl_cli.data.artifacts import cache_dir, checksum, content, resolve
from gcsl_cli.errors import ArtifactError, ConfigError, StorageError


def test_cache_folder_from_the_environment_is_not_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    assert not (tmp_path / "mine").exists()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the location differs by platform")
@pytest.mark.parametrize(
    ("xdg", "expected"),
    [
        ("/somewhere/cache", "/somewhere/cache/gcsl"),
        ("relative", "/people/ann/.cache/gcsl"),
        ("", "/people/ann/.cache/gcsl"),
    ],
)
def test_cache_follows_the_xdg_specification(xdg: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GCSL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setenv("HOME", "/people/ann")
    assert cache_dir() == Path(expected)


def test_no_home_folder_asks_for_gcsl_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("GCSL_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(StorageError, match="Set the environment variable GCSL_CACHE"):
        cache_dir()


def test_checksum_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    # FIPS 180-2, appendix B.1: the digest of "abc".
    (tmp_path / "abc").write_bytes(b"abc")
    assert checksum(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_path_is_expanded_and_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.jsonl").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert resolve("~/rows.jsonl") == tmp_path / "rows.jsonl"
    assert resolve("rows.jsonl") == tmp_path / "rows.jsonl"
    assert resolve(str(tmp_path)) == tmp_path


def test_missing_path_is_shown_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match="no such file or folder") as caught:
        resolve("nowhere/rows.jsonl")
    assert str(tmp_path / "nowhere" / "rows.jsonl") in str(caught.value)


def test_a_pipe_or_a_device_is_an_artifact_error(tmp_path: Path) -> None:
    """Reading them might never end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        for read in (resolve, content):
            with pytest.raises(ArtifactError, match=f"{path}: neither a file nor a folder"):
                read(path)


def test_path_through_a_file_is_an_artifact_error(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(ArtifactError, match="cannot be read"):
        resolve(str(tmp_path / "rows.jsonl" / "inner"))


@pytest.mark.parametrize("uri", ["foo://a/b", "file:///tmp", "https://host/model"])
def test_unknown_scheme_lists_the_allowed_ones(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown scheme .*pypi://NAME==VERSION/MEMBER.*hf://OWNER/NAME"):
        resolve(uri)


def test_empty_uri_is_refused() -> None:
    with pytest.raises(ConfigError, match="empty"):
        resolve("")


WHEEL_FILE = "pypi://tiny-data==1.0/tiny_data/data/rtp_a.txt"
ZEROS = "0" * 64


@pytest.mark.parametrize(
    ("uri", "sha256", "said"),
    [
        (WHEEL_FILE, None, "the wheel must be pinned by its hash"),
        (WHEEL_FILE, "abc", "expected 64 hexadecimal digits"),
        ("pypi://tiny-data/tiny_data/a.txt", ZEROS, "expected pypi://NAME==VERSION/MEMBER"),
        ("pypi://tiny-data>=1.0/a.txt", ZEROS, "version must be exact"),
        ("pypi://tiny-data==1.0", ZEROS, "expected pypi://NAME==VERSION/MEMBER"),
        ("pypi://tiny-data==1.0/", ZEROS, "expected pypi://NAME==VERSION/MEMBER"),
        ("pypi://--index-url==1.0/a.txt", ZEROS, "expected pypi://NAME==VERSION/MEMBER"),
        ("pypi://a\n-r b==1.0/a.txt", ZEROS, "expected pypi://NAME==VERSION/MEMBER"),
    ],
)
def test_unusable_wheel_uri(
    uri: str, sha256: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match=said):
        resolve(uri, sha256=sha256)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("member", ["../evil", "a/../../evil", "/etc/evil", "a\\b", "C:/evil"])
def test_member_outside_the_archive(member: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ArtifactError, match="leaves the archive"):
        resolve(f"pypi://tiny-data==1.0/{member}", sha256=ZEROS)
    assert not (tmp_path / "cache").exists()


def test_import_is_light() -> None:
    code = (
        "import sys, gcsl_cli.data.artifacts; "
        "print([m for m in ('torch', 'transformers', 'huggingface_hub', 'filelock', 'pip') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_content_identifies_a_local_file_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("a", encoding="utf-8")
    before = content(str(path))
    path.write_text("b", encoding="utf-8")

    assert content(str(path)) != before
    assert content("hf://OWNER/NAME") == "hf://OWNER/NAME"
    assert content(None) is None


def test_content_of_a_large_file_covers_both_ends_and_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcsl_cli.data.artifacts.HASHED_WHOLE", 4)
    monkeypatch.setattr("gcsl_cli.data.artifacts.EDGE", 2)
    names = set()
    for text in ("abcdef", "xbcdef", "abcdex", "abcddef"):
        (tmp_path / "weights").write_text(text, encoding="utf-8")
        names.add(content(str(tmp_path / "weights")))

    assert len(names) == 4
