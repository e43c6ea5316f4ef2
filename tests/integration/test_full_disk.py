"""A disk that is full at any moment: exit 2 and the message, nothing half-written, and the same command goes on."""

import errno
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import outputs
from tests.commands import gcsl

Lines = Callable[[Path], list[str]]
SHORT = ["train.max_steps=2", "task.feedback.shard_prompts=40", "generation.shard_prompts=9", "evaluation.base=false"]
NATIVE = {"model.safetensors", "tokenizer.json"}
"""Files that libraries write from Rust or C++, where no hook sees them; test_bad_inputs.py limits their size."""


class FullDisk:
    """Refuses to open a file of a folder for writing, once for each name; inactive outside of `with`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refused: list[str] = []
        self.active = False
        sys.addaudithook(self._watch)  # cannot be removed

    def __enter__(self) -> None:
        self.active = True

    def __exit__(self, *_: object) -> None:
        self.active = False

    def _watch(self, event: str, details: tuple[Any, ...]) -> None:
        """`open` is raised by `open()` as well as by `os.open`, with the path and the flags."""
        writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
        if not self.active or event != "open" or not isinstance(details[0], str) or not details[2] & writing:
            return
        path = Path(details[0])
        if path.is_relative_to(self.folder) and (name := self._name(path)) not in self.refused:
            self.refused.append(name)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def _name(self, path: Path) -> str:
        """The path without what is random in it."""
        return re.sub(r"(?<=outcomes-)\w{8}|[.-]\w{8}(?=\.part\b)", "", str(path.relative_to(self.folder)))


def test_every_file_fails_to_be_written_once(tmp_path: Path, small_run: Lines) -> None:
    """The command is repeated until nothing fails; its results are those of a run that never failed."""
    runs, whole = tmp_path / "runs", tmp_path / "whole"
    disk, code = FullDisk(runs), 2
    while code == 2:
        before = len(disk.refused)
        with disk:
            ended = gcsl("evaluate", *small_run(runs), *SHORT)
        code = ended.code
        assert (len(disk.refused) > before) == (code == 2), ended.err
        assert code == 0 or "Error: The disk is full while writing " in ended.err
        assert list(runs.rglob("*.part")) == []

    assert code == 0, ended.err
    written = {path.name for path in runs.rglob("*") if path.is_file()}
    refused = {re.sub(r"^\.(.*)\.part$", r"\1", Path(name).name) for name in disk.refused}
    assert written - refused == NATIVE
    assert gcsl("evaluate", *small_run(whole), *SHORT).code == 0
    outputs.assert_same_training(outputs.training(runs), outputs.training(whole))
    assert outputs.metrics(runs) == outputs.metrics(whole)
