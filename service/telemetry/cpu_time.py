"""The CPU time of each process of the deployment, for /metrics.

In several processes prometheus_client has no `process_cpu_seconds_total`. A counter adds up what each process used, so
that the sum of processes that have ended stays.
"""

from __future__ import annotations

import time

from service.telemetry import metrics
from service.telemetry.periodic import repeat_in_thread

SECONDS = 5.0
"""Time between two updates: below the usual scrape interval."""


class CpuTime:
    """Adds the CPU time of this process to the counter, until the process ends."""

    def __init__(self, service: str) -> None:
        self._count = metrics.cpu_seconds_total.labels(service).inc
        self._counted = 0.0

    def start(self) -> None:
        """Update the counter again and again. The time before the first update is that of the start."""
        repeat_in_thread("cpu-time", self.update, SECONDS)

    def update(self) -> None:
        """Add the time since the last update."""
        used = time.process_time()
        self._count(used - self._counted)
        self._counted = used
