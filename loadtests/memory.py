"""What the processes of a server hold: memory and file descriptors, read from /proc."""

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

    MiB by role: pss, each page shared out among those who map it, so that the sum is what the server costs. private:
    the sum of what nobody else has, without mapped files. descriptors: without those of clients' connections.
    """

    at: float
    pss: dict[str, float]
    private: float
    rss: float
    descriptors: int
    processes: int

    @property
    def memory(self) -> float:
        """Of all roles."""
        return sum(self.pss.values())

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


def sample(pid: int, port: int, at: float) -> Sample:
    """Of a process and all below it that live on; port: where clients connect."""
    server = psutil.Process(pid)
    pss: dict[str, float] = defaultdict(float)
    private = rss = 0.0
    descriptors = processes = 0
    for each in (server, *server.children(recursive=True)):
        with suppress(OSError, psutil.Error):
            held = _rollup(each.pid)
            descriptors += len([*(PROC / str(each.pid) / "fd").iterdir()])
            pss[role((PROC / str(each.pid) / "cmdline").read_bytes())] += held["Pss"]
            private += held["Anonymous"]
            rss += held["Rss"]
            processes += 1
    return Sample(at, dict(pss), private, rss, descriptors - connections(PROC / "net" / "tcp", port), processes)


def role(command: bytes) -> str:
    """Of a process of the deployment, by its command line."""
    words = command.split(b"\0")
    if b"--service-name" in words:
        return words[words.index(b"--service-name") + 1].decode().lower()
    return "supervisor"


def connections(table: Path, port: int) -> int:
    """How many are open to a port: their number is the clients' doing."""
    rows = [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
    return sum(int(row[1].rpartition(":")[2], 16) == port and row[3] == _ESTABLISHED for row in rows)


def _rollup(pid: int) -> dict[str, float]:
    """MiB by name."""
    lines = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
