"""CPU time, memory and open file descriptors of a server and its descendant processes."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

PROC = Path("/proc")
_ESTABLISHED = "01"


@dataclass(frozen=True)
class Sample:
    """All processes of a server at one moment, seconds from the start of a run.

    pss: MiB by role; a page that processes share is divided among them, so the sum is the memory of the server.
    descriptors: without the connections of clients.
    """

    at: float
    pss: dict[str, float]
    descriptors: int
    processes: int

    @property
    def memory(self) -> float:
        """MiB of all roles."""
        return sum(self.pss.values())

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


def sample(pid: int, port: int, at: float) -> Sample:
    """Sample a process and its descendants. port: the one that clients connect to."""
    server = psutil.Process(pid)
    pss: dict[str, float] = defaultdict(float)
    descriptors = processes = 0
    for each in (server, *server.children(recursive=True)):
        with suppress(OSError, psutil.Error):
            held = _pss(each.pid)
            descriptors += len([*(PROC / str(each.pid) / "fd").iterdir()])
            pss[role((PROC / str(each.pid) / "cmdline").read_bytes())] += held
            processes += 1
    return Sample(at, dict(pss), descriptors - connections(PROC / "net" / "tcp", port), processes)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and all below it have used so far; 0 for the pid 0."""
    if not pid:
        return 0.0
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def role(command: bytes) -> str:
    """The role of a process of the deployment, by its command line."""
    words = command.split(b"\0")
    if b"--service-name" in words:
        return words[words.index(b"--service-name") + 1].decode().lower()
    return "supervisor"


def connections(table: Path, port: int) -> int:
    """The number of open connections to a port."""
    rows = [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
    return sum(int(row[1].rpartition(":")[2], 16) == port and row[3] == _ESTABLISHED for row in rows)


def _pss(pid: int) -> float:
    """The proportional set size of a process in MiB."""
    lines = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
