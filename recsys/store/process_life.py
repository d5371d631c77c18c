"""The life of one process: told so that whoever is on the same machine knows when it has ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Life:
    """place: this boot of this machine and its space of pids. born: the start in ticks, as pids are used again."""

    pid: int
    place: str
    born: str

    @classmethod
    def here(cls) -> Life:
        """The calling process."""
        return cls(os.getpid(), place(), born(os.getpid()))

    @property
    def ended(self) -> bool:
        """Whether it is known to be over; False where that can't be told from here."""
        return bool(self.place) and self.place == place() and self.born != born(self.pid)


@cache
def place() -> str:
    """Where a pid means this process and no other; empty where that can't be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def born(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty if it is gone or a zombie."""
    try:
        # the name stands in brackets and may hold brackets and spaces itself: what follows the last one is safe
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in "ZX" else fields[18]
