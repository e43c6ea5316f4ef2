"""What one program may use.

Limits(cpu_seconds=3, wall_seconds=10, memory_bytes=512 MiB, file_bytes=16 MiB, open_files=64, processes=16,
       output_bytes=8 MiB)
"""

from dataclasses import dataclass

from gcsl_cli.errors import ConfigError

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one program with all of its tests.

    Memory is address space and counts for each process by itself: all of them together may use `processes` times
    `memory_bytes`, and `file_bytes` of temporary files.
    """

    cpu_seconds: float = 3.0
    """Processor time; the kernel counts whole seconds, so it is rounded up."""
    wall_seconds: float = 10.0
    memory_bytes: int = 512 * MEBIBYTE
    file_bytes: int = 16 * MEBIBYTE
    """The largest file, and the size of the temporary folder."""
    open_files: int = 64
    processes: int = 16
    """Processes and threads at a time, the program's own one among them."""
    output_bytes: int = 8 * MEBIBYTE
    """What all answers of the program come to, encoded."""

    def __post_init__(self) -> None:
        """Refuse what would stop every program.

        Raises:
            ConfigError: a limit is too small for an interpreter to start.
        """
        least = {
            "cpu_seconds": 0.1,
            "wall_seconds": 0.1,
            "memory_bytes": 64 * MEBIBYTE,
            "file_bytes": 4096,
            "open_files": 16,
            "processes": 1,
            "output_bytes": 1024,
        }
        for name, value in least.items():
            if not getattr(self, name) >= value:
                raise ConfigError(f"{name}={getattr(self, name)} is too small for a sandbox; allowed: {value} or more.")
