"""Resource limits of one program."""

from dataclasses import dataclass

from gcsl_cli.errors import ConfigError

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one program across all of its tests; too low ones for an interpreter to start raise `ConfigError`.

    Memory means address space and is limited per process. A program that starts `processes` processes can therefore use
    up to `processes` times `memory_bytes`, plus `file_bytes` of temporary files.
    """

    cpu_seconds: float = 3.0
    """Processor time, rounded up because the kernel counts whole seconds."""
    wall_seconds: float = 10.0
    memory_bytes: int = 512 * MEBIBYTE
    file_bytes: int = 16 * MEBIBYTE
    """Maximum size of a file and of the temporary folder."""
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
            if not (value := getattr(self, name)) >= minimum:
                raise ConfigError(f"{name}={value} is too small for a sandbox; allowed: {minimum} or more.")
