"""Files that commands write where the user says: never over one that they read."""

from collections.abc import Sequence
from pathlib import Path

from gcsl_cli.errors import ConfigError


def check_output(option: str, output: Path, files: Sequence[Path]) -> None:
    """Raise `ConfigError` if `output` is one of the `files` that are read, by whatever path."""
    for path in files:
        if output.resolve() == path.resolve():
            raise ConfigError(f"{option} {output}: that is a file to read. Name another one.")
