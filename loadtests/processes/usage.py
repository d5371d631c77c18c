"""CPU time of a server and its descendant processes."""

from __future__ import annotations

import psutil


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and all below it have used so far; 0 for the pid 0."""
    if not pid:
        return 0.0
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)
