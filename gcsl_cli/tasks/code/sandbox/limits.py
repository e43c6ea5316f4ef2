"""Resource limits of one program."""

from dataclasses import dataclass

from gcsl_cli.errors import ConfigError

MEBIBYTE = 2**20
LONGEST_SECONDS = 86_400
LARGEST = 2**50
"""The kernel and Python's timers take no numbers without bounds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one program across all of its tests; `ConfigError` for those that no sandbox can have.

    Memory means address space. The kernel limits it per process. The sum over the processes of a program, and the
    number of its files, are checked every 0.05 seconds, and not with docker, which limits the memory of a container.
    Each run of the tests has a process with the same limits, except that its CPU time may reach `wall_seconds`.
    """

    cpu_seconds: float = 3.0
    """Processor time, rounded up because the kernel counts whole seconds."""
    wall_seconds: float = 10.0
    memory_bytes: int = 512 * MEBIBYTE
    file_bytes: int = 16 * MEBIBYTE
    """Maximum size of a file and of the temporary folder, which may hold a file per 4096 bytes, and at least 64."""
    open_files: int = 64
    processes: int = 16
    """Maximum number of concurrent processes and threads, including the program's own."""
    output_bytes: int = 8 * MEBIBYTE
    """Maximum total size of the program's encoded answers."""

    def __post_init__(self) -> None:
        minimums = {
            "cpu_seconds": 0.1,
            "wall_seconds": 0.1,
            "memory_bytes": 64 * MEBIBYTE,
            "file_bytes": 4096,
            "open_files": 16,
            "processes": 1,
            "output_bytes": 1024,
        }
        for name, minimum in minimums.items():
            value, most = getattr(self, name), LONGEST_SECONDS if name.endswith("seconds") else LARGEST
            if not value >= minimum:
                raise ConfigError(f"{name}={value} is too small for a sandbox; allowed: {minimum} or more.")
            if value > most:
                raise ConfigError(f"{name}={value} is too large for a sandbox; allowed: {most} or less.")
