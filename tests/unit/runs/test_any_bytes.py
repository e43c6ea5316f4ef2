"""Whatever the files of a run contain: they are read, made again, or refused with a message; never another error."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gcsl_cli.data.artifacts.cache import read_manifest
from gcsl_cli.data.records import (
    GENERATION,
    FeedbackRow,
    FeedbackRows,
    Generation,
    read_cached,
    read_feedback,
    read_generations,
    write_generations,
    write_table,
)
from gcsl_cli.errors import GcslError
from gcsl_cli.goals.spec import no_goal_spec
from gcsl_cli.goals.spec_file import load_spec, save_spec
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.reports.comparison.runs import read_runs
from gcsl_cli.reports.saved import read_values, write_values
from gcsl_cli.runs.files import read_json, write_json
from gcsl_cli.runs.folders import Folder
from gcsl_cli.training.checkpoints import MARK, mark_complete, newest_complete
from gcsl_cli.training.plan import Plan, load_plan

LIMITED = settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KEYS = {"seed": 0, "method": {"label": "sft"}}


def finished(path: Path) -> None:
    folder = Folder(path, "training", KEYS)
    with folder.working():
        write_json(path / "metrics.json", {})
        folder.finish("metrics.json")


def check(path: Path) -> None:
    folder = Folder(path.parent, "training", KEYS)
    if folder.done():
        folder.verified("metrics.json")
    replace(folder, keys={"seed": 1}).done()


def write_plan(path: Path) -> None:
    place = np.arange(3)
    Plan.of(step=place, micro=place, row=place, goal=place.astype(float), tokens=place).save(path)


def write_checkpoint(path: Path) -> None:
    path.parent.mkdir(parents=True)
    (path.parent / "weights").write_bytes(b"x")
    mark_complete(path.parent)


# Name of a file, how to write it, and how to read it again.
FILES: dict[str, tuple[str, Callable[[Path], Any], Callable[[Path], Any]]] = {
    "manifest": ("manifest.json", lambda path: finished(path.parent), check),
    "compared manifest": ("manifest.json", lambda path: finished(path.parent), lambda path: read_runs([path.parent])),
    "json": ("metrics.json", lambda path: write_json(path, {"a": 1}), read_json),
    "goal": (
        "goal.json",
        lambda path: save_spec(no_goal_spec("t", "plain", "{prompt}"), path.parent),
        lambda p: load_spec(p.parent),
    ),
    "plan": ("plan.parquet", write_plan, load_plan),
    "feedback": (
        "feedback.parquet",
        lambda path: write_table(path, FeedbackRows.of([FeedbackRow("a", "b", 0.5, "c", "train")]).table),
        lambda path: list(read_feedback(path)),
    ),
    "generations": (
        "generations.parquet",
        lambda path: write_generations(path, [Generation("a", "b", 0, "c", 1, True)]),
        read_generations,
    ),
    "shard": (
        "00000.parquet",
        lambda path: write_generations(path, [Generation("a", "b", 0, "c", 1, True)]),
        lambda path: read_cached(path, GENERATION),
    ),
    "values": (
        "values.parquet",
        lambda path: write_values(path, {"base": {"m": PerPrompt(np.ones(2), np.ones(2))}}),
        read_values,
    ),
    "checkpoint": (f"checkpoint-1/{MARK}", write_checkpoint, lambda path: newest_complete(path.parent.parent)),
    "cache": ("wheel.json", lambda path: write_json(path, {"format": 1}), read_manifest),
}
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, bytes, Callable[[Path], Any]]:
    """A file of a run, its content, and its reader."""
    name, write, read = FILES[request.param]
    write(tmp_path / "run" / name)
    return tmp_path / "run" / name, (tmp_path / "run" / name).read_bytes(), read


def assert_read_or_refused(path: Path, content: bytes, read: Callable[[Path], Any]) -> None:
    path.parent.mkdir(exist_ok=True)  # a damaged checkpoint is removed
    path.write_bytes(content)
    with contextlib.suppress(GcslError):
        read(path)


@LIMITED
@given(content=st.binary(max_size=200))
@example(b"")
@example(b"\0" * 50)
@example(b"null")
@example(b"[" * 100_000)
@example(b'{"a": ' + b"1" * 5000 + b"}")
def test_random_bytes(file: tuple[Path, bytes, Callable[[Path], Any]], content: bytes) -> None:
    assert_read_or_refused(file[0], content, file[2])


@LIMITED
@given(data=st.data())
def test_damaged_bytes(file: tuple[Path, bytes, Callable[[Path], Any]], data: st.DataObject) -> None:
    path, content, read = file
    place, byte = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(content), place + 1]))
    assert_read_or_refused(path, content[:place] + bytes([byte]) + content[place + 1 : end], read)


@LIMITED
@given(data=st.data())
def test_other_values_under_the_same_keys(file: tuple[Path, bytes, Callable[[Path], Any]], data: st.DataObject) -> None:
    path, content, read = file
    if path.suffix == ".json":
        values = json.loads(content)
        values[data.draw(st.sampled_from(sorted(values)))] = data.draw(VALUE)
        assert_read_or_refused(path, json.dumps(values).encode(), read)
