"""Who publishes: a process, told by its machine, its place on it and its birth, so that a dead one is known as dead."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """host, pid: for people. place: this boot of this machine and its space of pids. born: the start in ticks.

    nonce: tells two claims of one process apart.
    """

    host: str
    pid: int
    place: str
    born: str
    generation: str
    nonce: str

    @classmethod
    def here(cls, generation: str) -> Owner:
        """The calling process, about to publish a generation."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, _place(), _born(pid), generation, os.urandom(4).hex())

    def to_json(self) -> str:
        """As it stands in the store."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Owner:
        """Inverse of `to_json`; ValueError or TypeError where it is none."""
        return cls(**json.loads(text))

    def makes_way(self, other: Owner) -> bool:
        """Whether another may take its claim at once: it is known to have ended, or tries the same thing again."""
        ended = bool(self.place) and self.place == _place() and self.born != _born(self.pid)
        return ended or replace(self, nonce="") == replace(other, nonce="")


def _place() -> str:
    """Where a pid means this process and no other; empty where that can't be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty if it is gone or a zombie."""
    try:
        # the name stands in brackets and may hold brackets and spaces itself: what follows the last one is safe
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in "ZX" else fields[18]
