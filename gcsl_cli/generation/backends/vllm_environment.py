"""The Python environment that has vLLM, which may be another one than gcsl's.

A release of vLLM is built for exactly one version of torch, and few versions of transformers.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gcsl_cli.errors import ConfigError, DependencyError, listed

WORKER = Path(__file__).with_name("vllm_worker.py")
TESTED = ("0.32",)
"""Releases of vLLM that gcsl was tested with, as far as they are part of the version."""
KEY = "generation.vllm.python"
SECONDS = 600
"""Time to import vLLM, at most; from a slow disk it takes minutes the first time."""


@dataclass(frozen=True)
class VllmEnvironment:
    """An interpreter that can import vLLM."""

    python: str | None = None
    """Path of the interpreter; `None`: the one that runs gcsl."""
    any_version: bool = False
    """Use any version of vLLM, also one that gcsl was not tested with."""

    @property
    def command(self) -> list[str]:
        """The command that starts the worker."""
        return [sys.executable if self.python is None else str(Path(self.python).expanduser().absolute()), str(WORKER)]

    def check(self) -> str:
        """Import vLLM there, once per environment, and return its version.

        Raises:
            ConfigError: the path is not that of a program.
            DependencyError: vLLM cannot be imported there, or has a version that gcsl was not tested with.
        """
        version = _version(self)
        if not self.any_version and not version.startswith(tuple(f"{tested}." for tested in TESTED)):
            raise DependencyError(
                f"generation.backend=vllm: {self.command[0]} has vLLM {version}; gcsl was tested with "
                f"{listed(TESTED)}. Install that one there ({self._install}), or try yours with "
                "generation.vllm.any_version=true."
            )
        return version

    @property
    def _install(self) -> str:
        return f'{self.command[0]} -m pip install "vllm=={TESTED[-1]}.*"'


@cache
def _version(environment: VllmEnvironment) -> str:
    python = environment.command[0]
    named = f"{KEY}={environment.python}"
    if environment.python is not None and not Path(python).is_file():
        raise ConfigError(f"{named}: no such file. Give the Python interpreter of an environment that has vLLM.")
    try:
        found = subprocess.run(
            [*environment.command, "check"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except OSError as error:
        raise ConfigError(
            f"{named}: cannot be run ({error.strerror}). Give the Python interpreter of an environment that has vLLM."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise DependencyError(f"generation.backend=vllm: {python} has not imported vLLM in {SECONDS} s.") from error
    try:
        return str(json.loads(found.stdout)["version"])
    except (ValueError, KeyError, TypeError) as error:
        lines = [line.strip() for line in found.stderr.splitlines() if line.strip()]
        why = lines[-1] if lines else f"it ended with exit code {found.returncode} and without a message"
        install = environment._install
        raise DependencyError(
            f"generation.backend=vllm: {python} cannot import vLLM: {why}. Install it there ({install}), name the "
            f"interpreter of another environment with {KEY}=PATH, or use generation.backend=hf."
        ) from error
