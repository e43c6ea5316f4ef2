"""Detect incomplete and damaged checkpoints.

The trainer writes a checkpoint file by file; `complete.json`, written last, lists the files with their checksums:
    {"files": {"model.safetensors": "5f2c...", "optimizer.pt": "0bd5...", ...}}
A checkpoint without it, or with a file that differs, is removed and the previous one is used.
"""

import json
import logging
import re
import shutil
from pathlib import Path

from gcsl_cli.configs.choices import Strategy
from gcsl_cli.errors import RunError
from gcsl_cli.runs.files import checksum, storage_errors, sync, write_json

MARK = "complete.json"
FILES_OF = {Strategy.fsdp2: "pytorch_model_fsdp*", Strategy.zero3: "global_step*"}
"""What only a checkpoint of this strategy contains."""

log = logging.getLogger("gcsl")


def mark_complete(checkpoint: Path) -> None:
    """Mark a checkpoint as complete, once its files are on the disk."""
    paths = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != MARK]
    with storage_errors(checkpoint):
        for path in paths:
            sync(path)
    write_json(checkpoint / MARK, {"files": {str(path.relative_to(checkpoint)): checksum(path) for path in paths}})


def newest_complete(folder: Path) -> Path | None:
    """Return the newest complete checkpoint; remove the others that are newer and log a warning for each."""
    checkpoints = _all(folder)
    for checkpoint in reversed(checkpoints):
        fault = _fault(checkpoint)
        if fault is None:
            return checkpoint
        log.warning("%s is %s and was removed", checkpoint, fault)
        shutil.rmtree(checkpoint)
    if checkpoints:
        log.warning("no checkpoint is left: training starts again at the first step")
    return None


def keep_newest(folder: Path, count: int) -> None:
    """Remove all but the newest `count` checkpoints."""
    for checkpoint in _all(folder)[:-count]:
        shutil.rmtree(checkpoint)


def check_strategy(checkpoint: Path, strategy: Strategy) -> None:
    """Check that a checkpoint was written with the strategy that resumes it.

    Raises:
        RunError: its optimizer state is in the form of another strategy.
    """
    found = (which for which, files in FILES_OF.items() if any(checkpoint.glob(files)))
    written = next(found, Strategy.ddp)
    if written is strategy:
        return
    raise RunError(
        f"{checkpoint}: was written with distributed.strategy={_described(written, ', or in one process,')} and cannot "
        f"be resumed with {_described(strategy, ' or in one process')}. Use the same strategy, with any number of "
        "processes (zero3: the same number), or force=true to start again."
    )


def _described(strategy: Strategy, alone: str) -> str:
    return strategy.value if strategy.shards else f"{strategy.value}{alone}"


def _all(folder: Path) -> list[Path]:
    """List checkpoints by step, oldest first."""
    steps = [
        (int(match[1]), path)
        for path in folder.glob("checkpoint-*")
        if (match := _STEP.fullmatch(path.name)) and path.is_dir()
    ]
    return [path for _, path in sorted(steps)]


_STEP = re.compile(r"checkpoint-(\d+)")


def _fault(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint; None if it can be used."""
    try:
        files = dict(json.loads((checkpoint / MARK).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        files = {}
    if not files:
        return "incomplete (interrupted while writing)"
    for name, wanted in files.items():
        path = checkpoint / name
        if not path.is_file() or checksum(path) != wanted:
            return f"damaged ({name} is not what was written)"
    return None
