"""Measures one attack several times: its connections, and its effect on other clients' response times and on memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import psutil

from tests.edge.attack import Tally
from tests.edge.smuggling import KEY
from tests.edge.world import Answers, ProxiedDeployments
from tests.judged_load.http_load import Answer

SECONDS, MEGABYTES = 12.0, 20.0
"""Limits of the time until a connection is closed or refused, and of the growth of memory."""

RATIO, MORE_MS = 2.0, 20.0
"""Limits of the 95th percentile of other clients, as a multiple and in addition: the larger limit counts."""

ROUNDS = 3
RATE = 25.0
"""Requests a second of other clients at each door."""

QUIET, REST, ATTACKED = 6.0, 2.0, 8.0
"""Seconds before the attack, after it, and of a short attack that is repeated."""

NEW = 100.0
"""Connections a second of an attack that is repeated."""


class Memory(threading.Thread):
    """Samples the memory of processes and all below them ten times a second, while it is entered. most_mb: the most."""

    def __init__(self, pids: Collection[int]) -> None:
        super().__init__(daemon=True)
        roots = [psutil.Process(pid) for pid in pids]
        self._processes = [each for root in roots for each in (root, *root.children(recursive=True))]
        self._over = threading.Event()
        self.most_mb = 0.0

    def run(self) -> None:
        """Sample until the end."""
        while not self._over.wait(0.1):
            total = 0
            for each in self._processes:
                with suppress(psutil.Error):
                    total += each.memory_info().rss
            self.most_mb = max(self.most_mb, total / 1e6)

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


@dataclass
class AttackOutcome:
    """The rounds of an attack. p95_ms: of other clients by door, before and during the attack of each round."""

    attack: str
    tally: Tally = field(default_factory=lambda: Tally(0))
    memory_mb: float = 0.0
    failed: int = 0
    p95_ms: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, tally: Tally, memory_mb: float, quiet: Answers, attacked: Answers) -> None:
        """Add a round."""
        self.tally.add(tally)
        self.memory_mb = max(self.memory_mb, memory_mb)
        for door, answers in attacked.items():
            pair = (_p95_ms(quiet[door]), _p95_ms(answers))
            self.p95_ms.setdefault(door, []).append(pair)
            failed = [answer for answer in answers if answer.failed]
            self.failed += len(failed)
            if failed:
                self.wrong.append(f"{len(failed)} others' requests failed: {failed[0].status} {failed[0].error}")

    def medians(self, door: str) -> tuple[float, float]:
        """The median of the 95th percentiles before and during the attack."""
        before, during = zip(*self.p95_ms[door], strict=True)
        return statistics.median(before), statistics.median(during)

    def judge(self) -> None:
        """Add a sentence to `wrong` for each limit that does not hold."""
        tally = self.tally
        self.wrong += tally.wrong
        if tally.stopped < tally.connections:
            self.wrong.append(f"{tally.connections - tally.stopped} connections were held")
        if tally.slowest > SECONDS:
            self.wrong.append(f"the last was stopped after {tally.slowest:.1f} s")
        if self.memory_mb > MEGABYTES:
            self.wrong.append(f"memory grew by {self.memory_mb:.0f} MB")
        for door in self.p95_ms:
            before, during = self.medians(door)
            if during > max(RATIO * before, before + MORE_MS):
                self.wrong.append(f"other clients' p95 over {door} rose from {before:.0f} to {during:.0f} ms")

    def to_json(self) -> dict[str, Any]:
        """An entry of `loadtests/results/edge.json`."""
        return asdict(self) | {"pass": not self.wrong}


def measured(world: ProxiedDeployments, module: str, attack: str, count: int, repeated: bool) -> AttackOutcome:
    """Run an attack ROUNDS times, with requests of other clients before and during it. repeated: for ATTACKED s."""
    outcome = AttackOutcome(attack)
    for _ in range(ROUNDS):
        with Memory(world.pids) as before, world.clients(RATE) as quiet:
            time.sleep(QUIET)
        with Memory(world.pids) as during, world.clients(RATE) as attacked:
            tally = _attacked(world, module, attack, count, ATTACKED if repeated else 0.0)
            time.sleep(REST)
        outcome.add(tally, during.most_mb - before.most_mb, quiet, attacked)
    outcome.judge()
    return outcome


def _attacked(world: ProxiedDeployments, module: str, attack: str, count: int, seconds: float) -> Tally:
    """Run the attack in a process of its own."""
    port = world.proxy.grpc_port if attack.startswith("gRPC") else world.proxy.port
    done = subprocess.run(
        [sys.executable, "-m", module, attack, str(port), str(count), str(seconds), str(NEW)],
        env=os.environ | {KEY: world.key},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"{attack}: the attacker failed:\n{done.stderr}")
    return Tally(**json.loads(done.stdout))


def _p95_ms(answers: list[Answer]) -> float:
    return round(1000 * float(np.percentile([answer.seconds for answer in answers], 95)), 1)
