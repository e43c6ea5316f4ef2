"""Errors that a user can act on.

Every error that gcsl raises on purpose is a `GcslError`: one short message that names the bad value, what is allowed
and the fix. Only the command line prints them. Exit code 2 means "change something and try again" (usage,
configuration, data, disk, network); 1 means that the work itself failed.
"""


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
