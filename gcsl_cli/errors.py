"""Errors that a user can act on, and the names nearest to a mistyped one.

Every error that gcsl raises on purpose is a `GcslError`: one short message that names the bad value, what is allowed
and the fix. Only the command line prints them. Exit code 2 means "change something and try again" (usage,
configuration, data, disk, network); 1 means that the work itself failed.
"""

import difflib
from collections.abc import Iterable

SIMILAR = 0.7
"""Names at least this similar are suggested (`difflib.SequenceMatcher.ratio`)."""


class GcslError(Exception):
    """Base of all errors with a message for people. `exit_code` is what the process ends with."""

    exit_code = 2


class ConfigError(GcslError):
    """An override, key, group, option or value that cannot be used, or that contradicts another."""


class DataError(GcslError):
    """A data file that is missing, broken or unusable; the message names file and line where there is one."""


class ArtifactError(GcslError):
    """A model or data set that could not be fetched, verified or unpacked."""


class RunError(GcslError):
    """A run folder that belongs to another config or format version, or that is damaged."""


class StorageError(GcslError):
    """The disk is full or a folder cannot be written."""


class DependencyError(GcslError):
    """An optional package is missing; the message says how to install it."""


class TrainingError(GcslError):
    """Training went wrong in a way that the same command will not mend (for instance a loss that is not a number)."""

    exit_code = 1


def nearest(typed: str, names: Iterable[str]) -> list[str]:
    """Up to two names that look like `typed`, best first.

    Dotted keys are compared by their last part (`learning_rate` finds `train.learning_rate`); of equals, the one
    nearest in the tree comes first.
    """
    parts = typed.split(".")
    found: list[tuple[float, int, str]] = []
    for name in dict.fromkeys(names):
        others = name.split(".")
        similar = difflib.SequenceMatcher(None, parts[-1], others[-1]).ratio()
        if similar >= SIMILAR:
            shared = sum(1 for part, other in zip(parts[:-1], others[:-1], strict=False) if part == other)
            found.append((similar, shared - abs(len(parts) - len(others)), name))
    found.sort(key=lambda entry: entry[:2], reverse=True)
    best = [name for similar, _, name in found if similar >= found[0][0] - 0.1]
    return best[:2]


def did_you_mean(typed: str, names: Iterable[str]) -> str:
    """` Did you mean a or b?`, or nothing when no name is near."""
    found = nearest(typed, names)
    return f" Did you mean {' or '.join(found)}?" if found else ""


def listed(names: Iterable[str]) -> str:
    """`a, b, c`, or `none`."""
    return ", ".join(names) or "none"
