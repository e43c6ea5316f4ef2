"""`gcsl doctor`, with fake hardware and on this machine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gcsl_cli import __version__
from gcsl_cli.cli import commands as cli
from gcsl_cli.cli import doctor
from gcsl_cli.tasks.code.sandbox import hostile, probe
from gcsl_cli.tasks.code.sandbox.grader import Verdict


@pytest.mark.parametrize(
    ("flags", "has"),
    [({"avx512f", "avx512_bf16"}, True), ({"amx_bf16"}, True), ({"fp", "bf16"}, True), ({"avx2", "avx512f"}, False)],
)
def test_cpu_bf16(flags: set[str], has: bool) -> None:
    assert doctor.cpu_bf16(flags) is has


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    found = doctor.folder(tmp_path / "a" / "b", with_size=True)
    assert (found["exists"], found["writable"], found["size"]) == (False, True, 0)
    assert found["free"] > 0


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert doctor.folder(tmp_path / "file" / "cache", with_size=False)["writable"] is False


def test_the_size_of_a_folder(tmp_path: Path) -> None:
    """Two files of 3 and 5 bytes; a link is not counted."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "inner/b").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert doctor.folder(tmp_path, with_size=True)["size"] == 8


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("typer", "no-such-package"))
    found = doctor.versions()
    assert found["gcsl"] == __version__
    assert found["no-such-package"] == "missing"
    assert found["typer"] != "missing"


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")  # a long path would otherwise wrap the line
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--json"])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cache"]["path"] == str(tmp_path / "cache")
    assert found["devices"]["cpu_cores"] >= 1
    assert {"part", "installed", "install"} == set(found["optional"][0])
    with pytest.raises(SystemExit):
        cli.main(["doctor"])
    assert "not created yet" in capsys.readouterr().out


@pytest.mark.parametrize(("after", "code", "line"), [(1, 0, "1 of 1 held"), (2, 1, "DID NOT HOLD: the verdict after")])
def test_hostile_programs_report_what_held(
    after: int, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(chosen: list[hostile.Attack]) -> Iterator[tuple[Verdict, Verdict]]:
        for _ in chosen:
            second = Verdict(after, 2, "wrong answer", "", 1, 0.1, 0.1, False)
            yield Verdict(0, 2, "forbidden", "", 0, 0.1, 0.1, False), second

    monkeypatch.setattr(probe, "why_not", lambda _: "")
    monkeypatch.setattr(hostile, "attacks", lambda: [hostile.Attack("network", "tcp", "")])
    monkeypatch.setattr(hostile, "run", run)
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--sandbox"])
    assert ended.value.code == code
    assert line in capsys.readouterr().out


def test_hostile_programs_are_not_run_without_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "why_not", lambda _: "Install bubblewrap.")
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--sandbox"])
    assert ended.value.code == 2


def test_a_sandbox_that_does_not_work_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "why_not", lambda: "Install it with apt-get install bubblewrap.")
    lines = dict(doctor._lines(doctor.examine()))
    assert lines["sandbox"] == "does not work: Install it with apt-get install bubblewrap."
