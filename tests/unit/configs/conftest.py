"""Fixtures for tests of configs."""

import sys
import types
from pathlib import Path

import pytest

from tests.unit.configs.probe import PROBE, ProbeTask, Scorer, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's config folder with the task `probe`, whose module poses as one of gcsl's tasks."""
    module = types.ModuleType("gcsl_cli.tasks.probe")
    for cls in (ProbeTask, Scorer):
        monkeypatch.setattr(cls, "__module__", module.__name__)
        setattr(module, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    write(tmp_path, "task/probe.yaml", PROBE)
    return tmp_path
