"""Detect incomplete checkpoints.

The trainer writes a checkpoint file by file; `complete.json`, written last, lists the files with their sizes. A
checkpoint without it, or with a file of another size, is incomplete: it is removed and the previous one is used.
"""

import json
import logging
import re
import shutil
from pathlib import Path

from gcsl_cli.errors import RunError
from gcsl_cli.runs.files import write_json

MARK = "complete.json"

log = logging.getLogger("gcsl")


def mark_complete(checkpoint: Path) -> None:
    """Mark a checkpoint as complete."""
    write_json(checkpoint / MARK, {"files": _sizes(checkpoint)})


def newest_complete(folder: Path) -> Path | None:
    """Return the newest complete checkpoint; remove incomplete ones and log a warning for each."""
    for checkpoint in reversed(_all(folder)):
        if _is_complete(checkpoint):
            return checkpoint
        log.warning("%s is incomplete (interrupted while writing) and was removed", checkpoint)
        shutil.rmtree(checkpoint)
    return None


def keep_newest(folder: Path, count: int) -> None:
    """Remove all but the newest `count` checkpoints."""
    for checkpoint in _all(folder)[:-count]:
        shutil.rmtree(checkpoint)


def check_strategy(checkpoint: Path, *, sharded: bool) -> None:
    """Check that a checkpoint was written with the strategy that resumes it: `sharded` is True for FSDP2.

    Raises:
        RunError: its optimizer state is in the form of the other strategy.
    """
    if any(checkpoint.glob("pytorch_model_fsdp*")) == sharded:
        return
    written, here = ("ddp, or in one process,", "fsdp2") if sharded else ("fsdp2", "ddp or in one process")
    raise RunError(
        f"{checkpoint}: was written with distributed.strategy={written} and cannot be resumed with {here}. Use the "
        "same strategy, with any number of processes, or force=true to start again."
    )


def _all(folder: Path) -> list[Path]:
    """List checkpoints by step, oldest first."""
    steps = [(int(match[1]), path) for path in folder.glob("checkpoint-*") if (match := _STEP.fullmatch(path.name))]
    return [path for _, path in sorted(steps)]


_STEP = re.compile(r"checkpoint-(\d+)")


def _is_complete(checkpoint: Path) -> bool:
    try:
        listed = dict(json.loads((checkpoint / MARK).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    sizes = _sizes(checkpoint)
    return bool(listed) and all(sizes.get(name) == size for name, size in listed.items())


def _sizes(checkpoint: Path) -> dict[str, int]:
    return {
        str(path.relative_to(checkpoint)): path.stat().st_size
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != MARK
    }
