"""Config files that cannot be read: the message names the file and, if known, the line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gcsl_cli.errors import ConfigError, first_line

MOST_VALUES = 100_000
"""Values of a file once its anchors are copied. A few lines of nested anchors can stand for billions."""


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn what Hydra, OmegaConf and PyYAML raise while they read the file into a `ConfigError`."""
    from omegaconf.errors import OmegaConfBaseException
    from yaml import MarkedYAMLError, YAMLError

    try:
        yield
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 (byte {error.start + 1}). Save the file as UTF-8.") from error
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {error.problem}.") from error
    except (YAMLError, OmegaConfBaseException, OSError) as error:
        raise ConfigError(f"{path}: cannot be read: {first_line(error)}.") from error


def check_size(path: Path) -> None:
    """Check how large a file becomes when it is loaded.

    Raises:
        ConfigError: its anchors stand for too many values.
        RecursionError: a value contains itself, or values are nested too deeply.
    """
    import yaml

    text = path.read_text(encoding="utf-8")
    if "&" in text and "*" in text and _values(yaml.compose(text, yaml.SafeLoader), {}) > MOST_VALUES:
        raise ConfigError(f"{path}: its anchors (&name, *name) stand for more than {MOST_VALUES} values. Use fewer.")


def _values(node: Any, known: dict[Any, int]) -> int:
    """Count the values of a YAML node, those of an anchor as often as it is used."""
    if node not in known:
        parts = node.value if isinstance(node.value, list) else []
        known[node] = 1 + sum(
            _values(child, known) for part in parts for child in (part if isinstance(part, tuple) else (part,))
        )
    return known[node]
