"""Rolling restart test: stops two deployments by SIGTERM and starts them in turn, while requests are sent."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.edge.world import ProxiedDeployments

RATE = 50.0
"""Requests a second at each door."""

DRAIN = {"TANDEM_DRAIN_SECONDS": "3"}

SETTLED = 2.0
"""Seconds between a start and the next stop, in which the proxy finds the deployment ready."""


@dataclass
class Stops:
    """The figures of several stops.

    requests, failed, degraded: by door. failed: requests without a slate, by status and error. seconds: from SIGTERM
    to the end of the process, of each stop.
    """

    requests: dict[str, int]
    failed: dict[str, dict[str, int]]
    degraded: dict[str, int]
    seconds: list[float]
    wrong: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """An entry of `loadtests/results/rolling.json`."""
        return {"stops": len(self.seconds)} | asdict(self) | {"pass": not self.wrong}


def rolling_stops(world: ProxiedDeployments, times: int, rate: float = RATE) -> Stops:
    """Stop and start the deployments in turn, so many times. world: with the settings DRAIN."""
    seconds, wrong = [], []
    with world.clients(rate) as clients:
        for number in range(times):
            deployment = world.deployments[number % 2]
            time.sleep(SETTLED)
            start = time.monotonic()
            if code := deployment.stop():
                wrong.append(f"a deployment ended with {code}")
            seconds.append(round(time.monotonic() - start, 1))
            deployment.start()
            deployment.wait_until_ready()
        time.sleep(SETTLED)
    doors = clients.answers
    failed = {
        door: Counter(f"{answer.status} {answer.error}".strip() for answer in answers if answer.failed)
        for door, answers in doors.items()
    }
    wrong += [f"{door}: {each.total()} requests failed" for door, each in failed.items() if each]
    return Stops(
        {door: len(answers) for door, answers in doors.items()},
        {door: dict(each) for door, each in failed.items()},
        {door: sum(bool(answer.degraded) for answer in answers) for door, answers in doors.items()},
        seconds,
        wrong,
    )
