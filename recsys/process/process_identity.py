"""The identity of a process, stored so that other processes of the same machine can detect that it has ended.

It has the boot of the machine and the start time beside the pid, because the system gives a pid again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process. place: the boot of the machine and the pid namespace. born: the start in kernel ticks.

    Pids are used again, so a pid alone does not identify a process.
    """

    pid: int
    place: str
    born: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """A process of this machine that runs now."""
        return cls(pid, boot_and_namespace(), _start_ticks(pid))

    @classmethod
    def current(cls) -> ProcessIdentity:
        """The calling process."""
        return cls.of(os.getpid())

    @property
    def ended(self) -> bool:
        """Whether the process is known to have ended; False for a process of another machine."""
        return bool(self.place) and self.place == boot_and_namespace() and self.born != _start_ticks(self.pid)


@cache
def boot_and_namespace() -> str:
    """The boot of this machine and the pid namespace of this process; empty where the system does not report them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _start_ticks(pid: int) -> str:
    """The start of a process in kernel ticks; empty for an ended process and a zombie."""
    try:
        # The name in parentheses may contain parentheses and spaces: parse after the last parenthesis.
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in "ZX" else fields[18]
