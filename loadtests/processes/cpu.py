"""CPU time that a server process and all its descendants have used, for load tests and benchmarks."""

from __future__ import annotations

import psutil


def cpu_seconds(pid: int) -> float:
    """What a process and all below it have used so far; 0 where none is named."""
    if not pid:
        return 0.0
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)
