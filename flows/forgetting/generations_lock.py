"""The lock of the folder with the generations (trained models and tables) of this host.

A training holds the lock from the build of a generation until its publish has ended, and so does a publish by hand.
`drain` holds the lock while it removes users from generations. So no file changes while another process reads it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from training.read.locations import Location, reaching

logger = logging.getLogger("tandem")

LOCK = ".lock"


@contextmanager
def generations_lock(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a folder until the block ends. Yield whether the lock is held; without `wait` it may not be.

    The system releases the lock of a killed process. LocationError if the folder can't be written.
    """
    lock = FileLock(folder / LOCK)
    held = _taken(lock, folder)
    if not held and wait:
        logger.warning("Another process uses the generations in %s. This one waits until it ends.", folder)
        held = _taken(lock, folder, -1)
    try:
        yield held
    finally:
        lock.release()


def _taken(lock: FileLock, folder: Path, seconds: float = 0) -> bool:
    """Whether the lock is taken within some seconds; a negative number: wait without an end."""
    with reaching(Location(str(folder)), "written"):
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            return False
    return True
