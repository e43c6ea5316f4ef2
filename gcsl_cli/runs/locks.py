"""Locks between processes, so that two runs never do the same work at the same time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gcsl_cli.runs.files import make_folder, storage_errors

log = logging.getLogger("gcsl")


@contextmanager
def locked(path: Path, work: str) -> Iterator[None]:
    """Hold the lock file `path` during the block, waiting for it if necessary; its folder is created on demand.

    A process that has to wait logs what the holder of the lock is doing: its `work`, such as "fetching a model".

    Raises:
        StorageError: the folder is not writable.
    """
    from filelock import FileLock, Timeout

    make_folder(path.parent)
    with storage_errors(path):
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
