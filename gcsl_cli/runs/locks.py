"""Two processes that need the same thing do not both make it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gcsl_cli.runs.files import storage_errors

log = logging.getLogger("gcsl")


@contextmanager
def locked(path: Path, work: str) -> Iterator[None]:
    """Hold the lock file `path`; says that another process does `work` when it has to wait.

    Raises:
        StorageError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("waiting for another process that %s", work)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
