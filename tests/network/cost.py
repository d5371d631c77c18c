"""The cost of the calls between the services: the same load on one host, over unix sockets, and on three, over TCP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loadtests.processes.cpu import cpu_seconds
from tests.judged_load.served_pair import GenerationPair
from tests.network.deployment import SpreadDeployment
from tests.network.hosts import Hosts

WARM_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Times from the moment that a request was due, and CPU of all processes a request. failed: or degraded."""

    hop: str
    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float

    def to_json(self) -> dict[str, Any]:
        """An entry of `loadtests/results/network.json`."""
        return asdict(self)


def costs(folder: Path, pair: GenerationPair, hosts: Hosts, rate: float, seconds: float) -> Iterator[Cost]:
    """Measure unix sockets, TCP between hosts, and TCP with a delay of 1 ms where the kernel has `netem`."""
    with SpreadDeployment(folder / "one", pair, hosts, spread=False) as world:
        yield _cost("unix sockets, one host", world, rate, seconds)
    with SpreadDeployment(folder / "three", pair, hosts) as world:
        yield _cost("TCP, three hosts", world, rate, seconds)
        if all(hosts.delay(name, 1.0) for name in ("retrieval", "ranking")):
            yield _cost("TCP, three hosts 1 ms apart", world, rate, seconds)


def _cost(hop: str, world: SpreadDeployment, rate: float, seconds: float) -> Cost:
    with world.load(rate):
        time.sleep(WARM_SECONDS)
    before = sum(map(cpu_seconds, world.pids))
    with world.load(rate) as load:
        time.sleep(seconds)
    used = sum(map(cpu_seconds, world.pids)) - before
    took = [1e3 * answer.seconds for answer in load.answers]
    p50, p99 = np.percentile(took, [50, 99])
    failed = sum(answer.failed or bool(answer.degraded) for answer in load.answers)
    return Cost(hop, len(took), failed, round(p50, 2), round(p99, 2), round(1e3 * used / len(took), 3))
