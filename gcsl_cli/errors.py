"""Errors that a user can act on, and suggestions for mistyped names.

Every error that gcsl raises on purpose is a `GcslError`: one short message with the bad value, what is allowed and the
fix. Only the command line prints them. Exit code 2 means "change something and try again" (usage, config, data, disk,
network); 1 means that the work itself failed.
"""

import difflib
from collections.abc import Iterable

SIMILAR = 0.7
"""Lowest similarity of a suggested name, as computed by `difflib`."""


class GcslError(Exception):
    """Base class of all errors with a message for the user. `exit_code` becomes the exit code of the process."""

    exit_code = 2


class ConfigError(GcslError):
    """An override, key, group, option or value that is invalid or contradicts another."""


class DataError(GcslError):
    """A data file that is missing, broken or unusable. The message names the file and, if known, the line."""


class ArtifactError(GcslError):
    """A model or dataset that could not be downloaded, verified or unpacked."""


class RunError(GcslError):
    """A run folder that is damaged or belongs to another config or format version."""


class StorageError(GcslError):
    """A full disk or a folder that is not writable."""


class DependencyError(GcslError):
    """A missing optional package. The message says how to install it."""


class TrainingError(GcslError):
    """Training failed in a way that running the command again will not fix, such as a NaN loss."""

    exit_code = 1


class SamplingError(GcslError):
    """The process that samples completions failed."""

    exit_code = 1


def nearest(typed: str, names: Iterable[str]) -> list[str]:
    """Return up to two names that resemble `typed`, best first.

    Dotted keys are compared by their last part, so that `learning_rate` finds `train.learning_rate`. Among keys with
    the same last part, those closest to `typed` in the config tree come first.
    """
    *parents, leaf = typed.split(".")
    by_leaf: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        by_leaf.setdefault(name.rpartition(".")[2], []).append(name)

    def distance(name: str) -> int:
        others = name.split(".")[:-1]
        shared = sum(part == other for part, other in zip(parents, others, strict=False))
        return abs(len(parents) - len(others)) - shared

    similar = difflib.get_close_matches(leaf, by_leaf, n=2, cutoff=SIMILAR)
    return [name for match in similar for name in sorted(by_leaf[match], key=distance)][:2]


def did_you_mean(typed: str, names: Iterable[str]) -> str:
    """Return ` Did you mean a or b?`, or an empty string if no name is similar."""
    found = nearest(typed, names)
    return f" Did you mean {' or '.join(found)}?" if found else ""


def listed(names: Iterable[str]) -> str:
    """Return the names as `a, b, c`, or `none`."""
    return ", ".join(names) or "none"


def text_of(error: BaseException) -> str:
    """The message of an error; empty if the error fails to produce one."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001
        return ""


def first_line(error: BaseException, limit: int | None = 200) -> str:
    """The first line of an error's message without its full stop, or the name of its class if it has no message."""
    lines = [line.strip() for line in text_of(error).splitlines() if line.strip()]
    return lines[0][:limit].rstrip(".") if lines else type(error).__name__
