"""Provenance: command, git commit and versions."""

import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli import __version__
from gcsl_cli.runs import provenance
from gcsl_cli.runs.provenance import PACKAGES


def test_it_names_command_versions_and_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GCSL_COMMAND", raising=False)

    facts = provenance.provenance()

    assert facts["command"] == "gcsl (called from Python)"
    assert (facts["gcsl"], facts["python"]) == (__version__, platform.python_version())
    assert tuple(facts["packages"]) == PACKAGES
    assert all(facts["packages"].values())


def test_the_commit_is_that_of_the_checkout_that_gcsl_runs_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    asked: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="0123456789+\n", stderr="")

    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "gcsl_cli" / "runs" / "provenance.py"))
    monkeypatch.setattr(subprocess, "run", run)

    assert provenance.git_commit() == "0123456789+"
    assert asked[0][:3] == ["git", "-C", str(tmp_path)]


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 10)])
def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    (tmp_path / ".git").mkdir()

    def run(command: list[str], **options: Any) -> None:
        raise error

    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "gcsl_cli" / "runs" / "provenance.py"))
    monkeypatch.setattr(subprocess, "run", run)

    assert provenance.git_commit() is None


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "gcsl_cli" / "runs" / "provenance.py"))

    assert provenance.git_commit() is None
