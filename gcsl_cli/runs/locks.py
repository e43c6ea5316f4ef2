"""Locks between processes, so that two runs never do the same work at the same time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gcsl_cli.runs.files import storage_errors

log = logging.getLogger("gcsl")


@contextmanager
def locked(path: Path, work: str) -> Iterator[None]:
    """Hold the lock file `path` during the block, waiting for it if necessary.

    Args:
        path: The lock file; its folder is created on demand.
        work: What the holder of the lock is doing ("fetching a model"), logged by a process that has to wait.

    Raises:
        StorageError: the folder is not writable.
    """
    from filelock import FileLock, Timeout

    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("waiting for another process that is %s", work)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
