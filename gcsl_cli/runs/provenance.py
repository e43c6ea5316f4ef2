"""Provenance of a result: command, git commit, versions."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from gcsl_cli import COMMAND, __version__

PACKAGES = ("torch", "transformers", "trl", "peft", "hydra-core", "numpy")


def provenance() -> dict[str, Any]:
    """Return the command, git commit and versions that a result comes from."""
    return {
        "command": os.environ.get(COMMAND, "gcsl (called from Python)"),
        "commit": git_commit(),
        "gcsl": __version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def git_commit() -> str | None:
    """Return the commit of gcsl's checkout, with `+` if it has uncommitted changes, or None outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
