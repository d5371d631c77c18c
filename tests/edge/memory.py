"""Samples the memory of processes during an attack, and keeps the highest value."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from pathlib import Path

from tests.servers.deployment import descendants

_PAGE = os.sysconf("SC_PAGE_SIZE") / 1e6


class Memory(threading.Thread):
    """Samples the memory of processes and all below them ten times a second. most_mb: the most."""

    def __init__(self, pids: Collection[int]) -> None:
        super().__init__(daemon=True)
        self._pids = {each for pid in pids for each in {pid, *descendants(pid)}}
        self._over = threading.Event()
        self.most_mb = 0.0

    def run(self) -> None:
        """Read until the end."""
        while not self._over.is_set():
            self.most_mb = max(self.most_mb, sum(map(_resident, self._pids)))
            self._over.wait(0.1)

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def _resident(pid: int) -> float:
    try:
        return int((Path("/proc") / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0.0
