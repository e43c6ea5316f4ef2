"""Interpreters that have vLLM: one with a double of it, and the real one that GCSL_VLLM_PYTHON names."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def wrapper(tmp_path: Path) -> Callable[[str], str]:
    """Makes a program out of the body of a shell script."""

    def make(body: str) -> str:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return make
