"""How often a key may be used, by all processes of a host together: GCRA over one small mapped file.

Of each key one number is kept: when its next request would be due at its rate (the theoretical arrival time, seconds of
CLOCK_MONOTONIC, which all processes of a host share). A request is let in while that lies no further ahead than the
burst allows, and puts it one interval further. No process asks another, and none waits but for the lock of that key:
4 us in all, on cores that others use too (docs/decisions.md). The kernel lets go of the lock of a process that dies.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from service.auth.keyring import Entry

SLOTS = 1 << 13
"""Keys that one start of a deployment can tell apart, eight times what a file may have: ids go, and others come."""

_ROW = 16
_SIZE = SLOTS * _ROW

MAX_COST = 100
"""Of one request: slates for so many users."""


class RateLimits:
    """The arrival times of all keys; `create` the file once, then open it in each process. One thread a process."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds, the same in every process."""
        if not path.exists():  # somebody emptied the folder meanwhile
            self.create(path)
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        rows = memoryview(mmap.mmap(self._file, _SIZE))
        self._names, self._due = rows.cast("Q"), rows.cast("d")  # row by row: whose it is, and when it is due
        self._clock = clock
        self._rows: dict[str, int] = {}

    @staticmethod
    def create(path: Path) -> None:
        """An empty file; the one before stays with those that have it open.

        A clock that began anew with the machine would be compared with times of the machine's life before.
        """
        scratch = path.with_name(f".{path.name}-{os.getpid()}")
        scratch.touch(mode=0o600)
        scratch.write_bytes(bytes(_SIZE))
        scratch.replace(path)

    def take(self, entry: Entry) -> float:
        """0 for a request that is let in and counted, else the seconds until one would be."""
        row = self._row(entry.id)
        fcntl.lockf(self._file, fcntl.LOCK_EX, _ROW, row * _ROW)
        try:
            now = self._clock()
            due = self._due_of(row, entry, now)
            if due - now > entry.tolerance + 1e-9:
                return due - now - entry.tolerance
            self._due[2 * row + 1] = due + entry.interval
            return 0.0
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _ROW, row * _ROW)

    def charge(self, entry: Entry, requests: int) -> None:
        """Count so many more for one that was let in; those that come after wait for them."""
        row = self._row(entry.id)
        fcntl.lockf(self._file, fcntl.LOCK_EX, _ROW, row * _ROW)
        try:
            self._due[2 * row + 1] = self._due_of(row, entry, self._clock()) + requests * entry.interval
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _ROW, row * _ROW)

    def _due_of(self, row: int, entry: Entry, now: float) -> float:
        """When the next is due, now at the earliest; a time that no request can have made counts for nothing."""
        due = self._due[2 * row + 1]
        most = now + entry.tolerance + (MAX_COST + 1) * entry.interval
        return due if now < due <= most else now

    def _row(self, name: str) -> int:
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = self._claimed(int.from_bytes(sha256(name.encode()).digest()[:8], "little") | 1)
        return row

    def _claimed(self, name: int) -> int:
        """The row of a name, for all processes the same; where all are taken it shares one."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            for step in range(SLOTS):
                row = (name + step) % SLOTS
                if self._names[2 * row] in {0, name}:
                    self._names[2 * row] = name
                    return row
            return name % SLOTS
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
