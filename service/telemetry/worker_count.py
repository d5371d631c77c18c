"""The count of the worker processes on this machine, for /metrics: how many run, how many should, and how many died.

It is a thread of each gateway worker, and of each worker of retrieval or ranking on a host of its own. It reads the
store, where each worker announces itself, so a worker that dies before it announced itself is not counted.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client.multiprocess import mark_process_dead

from recsys.process.process_identity import boot_and_namespace
from recsys.store.redis.redis_registry import RedisProcessRegistry
from service.telemetry import metrics
from service.telemetry.periodic import repeat_in_thread

logger = logging.getLogger("tandem")

SECONDS = 5.0
"""Time between two counts. An announcement lasts 20 s after a death."""


class WorkerCount:
    """The count of one process."""

    def __init__(self, registry: RedisProcessRegistry, wanted: Mapping[str, int]) -> None:
        """wanted: workers that this host should have, by role."""
        self._registry = registry
        self._wanted = wanted

    def start(self) -> None:
        """Count until the process ends."""
        for role, count in self._wanted.items():
            metrics.workers.labels(_service(role), "wanted").set(count)
            metrics.worker_deaths_total.labels(_service(role)).inc(0)  # so that the first death is an increase
        repeat_in_thread("worker-count", self.count, SECONDS)

    def count(self) -> None:
        """Set the gauges, count deaths, and clear the gauges of dead processes; StoreError if the store is away."""
        _clear_gauges_of_the_dead()
        for dead in self._registry.remove_ended():
            metrics.worker_deaths_total.labels(_service(dead.role)).inc()
            logger.warning("%s ended without a stop; the lines above may give the reason.", dead.name.capitalize())
        here = Counter(
            each.role for each in self._registry.processes() if each.life and each.life.place == boot_and_namespace()
        )
        for role in self._wanted:
            metrics.workers.labels(_service(role), "alive").set(here[role])


def _service(role: str) -> str:
    return role.capitalize()


def _clear_gauges_of_the_dead() -> None:
    """Let sums over running processes leave out those that have ended."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    for file in Path(folder).glob("gauge_live*.db") if folder else ():
        with suppress(ValueError, OSError):  # another name than GAUGE_PID.db, or another process was faster
            pid = int(file.stem.rpartition("_")[2])
            if not psutil.pid_exists(pid):
                mark_process_dead(pid)  # type: ignore[no-untyped-call]  # no hints
