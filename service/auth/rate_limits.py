"""The rate limits of API keys, kept in a small mapped file that all processes of a host share.

The algorithm is the generic cell rate algorithm (GCRA). The file has one number for each key: the theoretical arrival
time of its next request, in seconds of CLOCK_MONOTONIC, which all processes of a host share. A request is allowed while
that time is no further ahead than the burst allows, and moves it by one interval. Each key has a lock, which the kernel
releases when a process dies. A request costs 4 us on shared cores (docs/decisions.md).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from recsys.files.atomic_write import atomic_write
from service.auth.keyring import KeyRecord

SLOTS = 1 << 13
"""Rows of the file, eight times as many as keys are allowed: a revoked key keeps its row until a restart."""

_ROW = 16
_SIZE = SLOTS * _ROW

MAX_COST = 100
"""The most that one request counts: slates for so many users."""


class RateLimits:
    """The arrival times of all keys. `create` the file once, then open it in each process, from one thread."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds, the same in every process."""
        if not path.exists():  # the folder was emptied meanwhile
            self.create(path)
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        rows = memoryview(mmap.mmap(self._file, _SIZE))
        self._names, self._due = rows.cast("Q"), rows.cast("d")  # by row: hash of the key's id, arrival time
        self._clock = clock
        self._rows: dict[str, int] = {}

    @staticmethod
    def create(path: Path) -> None:
        """Create an empty file; processes that have an older one open keep it.

        Times of an older file may come from before a reboot, and CLOCK_MONOTONIC starts again with each boot.
        """
        with atomic_write(path, mode=0o600) as draft:
            draft.write_bytes(bytes(_SIZE))

    def take(self, entry: KeyRecord) -> float:
        """Count a request that is allowed now and return 0; else return the seconds until one is allowed."""
        with self._locked(entry) as (row, due, now):
            wait = due - now - entry.tolerance
            if wait > 1e-9:
                return wait
            self._due[2 * row + 1] = due + entry.interval
            return 0.0

    def charge(self, entry: KeyRecord, requests: int) -> None:
        """Count so many more requests of the key now; later requests wait for them."""
        with self._locked(entry) as (row, due, _):
            self._due[2 * row + 1] = due + requests * entry.interval

    @contextmanager
    def _locked(self, entry: KeyRecord) -> Iterator[tuple[int, float, float]]:
        """Lock the row of a key; the row, the arrival time of the next request, and now."""
        row = self._row(entry.id)
        fcntl.lockf(self._file, fcntl.LOCK_EX, _ROW, row * _ROW)
        try:
            now = self._clock()
            yield row, self._due_of(row, entry, now), now
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _ROW, row * _ROW)

    def _due_of(self, row: int, entry: KeyRecord, now: float) -> float:
        """The arrival time of the next request, now at the earliest; a time that no request can have set is ignored."""
        due = self._due[2 * row + 1]
        most = now + entry.tolerance + (MAX_COST + 1) * entry.interval
        return due if now < due <= most else now

    def _row(self, name: str) -> int:
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = self._claimed(int.from_bytes(sha256(name.encode()).digest()[:8], "little") | 1)
        return row

    def _claimed(self, name: int) -> int:
        """The row of a name, the same in all processes; where all rows are taken, one that another key has."""
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
