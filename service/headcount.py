"""How many workers each service has, should have and has lost, where the gateway's /metrics finds it.

Only their parent knows, which serves nothing. It writes into the folder in which the workers' prometheus-client keeps
what they count (PROMETHEUS_MULTIPROC_DIR), in its format (prometheus-client 0.20 on; 0.26).
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import mark_process_dead

DEATHS, WORKERS = "tandem_worker_deaths", "tandem_workers"
WANTED, ALIVE = "wanted", "alive"


class Headcount:
    """Tells what it is told; nothing where there is no such folder."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._deaths = self._workers = None
        with suppress(OSError):
            if folder:
                self._deaths = _file(folder, "counter_arbiter.db")
                self._workers = _file(folder, "gauge_max_arbiter.db")  # the mode matters to several writers alone

    def begin(self, service: str, wanted: int) -> None:
        """A service that starts: so many workers it should have, none died."""
        self._write(self._workers, _workers(service, WANTED), wanted)
        self._write(self._deaths, _deaths(service), 0)

    def died(self, service: str, times: int, pid: int) -> None:
        """How often a worker of it has died by now, this one last; what only the living count leaves it out."""
        self._write(self._deaths, _deaths(service), times)
        if self._folder:
            with suppress(OSError):
                mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call]  # no hints

    def alive(self, service: str, count: int) -> None:
        """How many live now."""
        self._write(self._workers, _workers(service, ALIVE), count)

    @staticmethod
    def _write(file: MmapedDict | None, key: str, value: float) -> None:
        if file is not None:
            file.write_value(key, float(value), time.time())  # type: ignore[no-untyped-call]  # as above


def _file(folder: str, name: str) -> MmapedDict:
    return MmapedDict(str(Path(folder) / name))  # type: ignore[no-untyped-call]  # no hints


def _deaths(service: str) -> str:
    return mmap_key(DEATHS, f"{DEATHS}_total", ["service"], [service], "Workers that ended without being asked to")


def _workers(service: str, state: str) -> str:
    told = "Workers that a service should have, and that live"
    return mmap_key(WORKERS, WORKERS, ["service", "state"], [service, state], told)
