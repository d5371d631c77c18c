"""What a deployment's processes hold and take of the cores while something is done to it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests.deployment import descendants

_PAGE = os.sysconf("SC_PAGE_SIZE") / 1e6
_TICK = 1 / os.sysconf("SC_CLK_TCK")


class Cost(threading.Thread):
    """most_mb: the most that they hold while it is entered. cpu_s: seconds of a core that they take until its end."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pids = descendants(pid)
        self._over = threading.Event()
        self.most_mb = self.cpu_s = 0.0

    def run(self) -> None:
        """Look ten times a second."""
        while not self._over.is_set():
            self.most_mb = max(self.most_mb, sum(map(_resident, self._pids)))
            self._over.wait(0.1)

    def __enter__(self) -> Cost:
        self._taken = sum(map(_taken, self._pids))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_s = sum(map(_taken, self._pids)) - self._taken
        self._over.set()
        self.join()


def _resident(pid: int) -> float:
    try:
        return int((Path("/proc") / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0.0


def _taken(pid: int) -> float:
    try:
        fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * _TICK
