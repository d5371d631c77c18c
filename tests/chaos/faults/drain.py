"""Stops the service by SIGTERM under load, for chaos tests: it must finish all accepted requests first (drain)."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field

import httpx

from tests.judged_load.grpc_load import GrpcLoad
from tests.judged_load.http_load import Answer, HttpLoad
from tests.judged_load.outcome import NO_EFFECT, Outcome, accepted, judge
from tests.judged_load.served_pair import USERS, ServedPair
from tests.servers.deployment import Deployment

EXIT_SECONDS = 30.0
"""From SIGTERM to the end of the process, at most."""

ALL_IMPRESSIONS = {"TANDEM_IMPRESSIONS_PER_SECOND": "1000"}
"""Setting of the deployment: every slate is logged, so that the slates can be counted."""


@dataclass
class Drains:
    """Several drains. answers: by door, to accepted requests. seconds: from SIGTERM to the end of the process."""

    answers: dict[str, list[Answer]] = field(default_factory=lambda: {"HTTP": [], "gRPC": []})
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, world: ServedPair, moment: float, drain_seconds: float, rate: float = 20.0) -> None:
        """Stop the deployment after `moment` seconds of load over HTTP and gRPC.

        drain_seconds: its TANDEM_DRAIN_SECONDS; with 0 nobody can see that it is not ready. rate: over each.
        """
        before, deployment = _logged(world), world.deployment
        with HttpLoad(deployment.url, USERS, rate) as http, GrpcLoad(deployment.grpc, USERS, rate) as rpc:
            time.sleep(moment)
            begun, unready = time.time(), False
            deployment.process.send_signal(signal.SIGTERM)
            while deployment.process.poll() is None and time.time() < begun + 2 * EXIT_SECONDS:
                unready = unready or _unready(deployment)
                time.sleep(0.02)
            self.seconds.append(time.time() - begun)
            code = deployment.process.wait(1)
        for door, load in (("HTTP", http), ("gRPC", rpc)):
            self.answers[door] += accepted(load.answers, closed=begun + drain_seconds)
        slates = sum(each.whole for each in (*http.answers, *rpc.answers))
        if code:
            self.wrong.append(f"the process ended with {code}")
        if drain_seconds and not unready:
            self.wrong.append("/readyz did not return 503")
        if not rpc.health or rpc.health[-1][1]:
            self.wrong.append("the health service of gRPC did not send NOT_SERVING")
        if (logged := _logged(world) - before) != slates:
            self.wrong.append(f"{slates} slates were returned, {logged} were logged")

    def outcomes(self, world: ServedPair) -> list[Outcome]:
        """One outcome for HTTP and one for gRPC; what else went wrong is in both."""
        if max(self.seconds) > EXIT_SECONDS:
            self.wrong.append(f"the end took {max(self.seconds):.1f} s, the limit is {EXIT_SECONDS:.0f} s")
        note = f"ended after {min(self.seconds):.1f} to {max(self.seconds):.1f} s"
        return [
            judge(
                f"drained {len(self.seconds)} times, {door}",
                each,
                world.expected,
                NO_EFFECT,
                note=note,
                wrong=self.wrong,
            )
            for door, each in self.answers.items()
        ]


def drained(world: ServedPair, times: int = 20) -> list[Outcome]:
    """Load, SIGTERM and a new start, so many times at different moments. world: with ALL_IMPRESSIONS."""
    drains = Drains()
    for number in range(times):
        drain_seconds = 0.5 * (number % 2)
        if number:
            world.deployment = world.deploy(TANDEM_DRAIN_SECONDS=str(drain_seconds))
            world.deployment.start()
            world.deployment.wait_until_ready()
        drains.add(world, 1.5 + 0.037 * number, drain_seconds)
    return drains.outcomes(world)


def _unready(deployment: Deployment) -> bool:
    try:
        return httpx.get(f"{deployment.url}/readyz", timeout=0.5).status_code == 503
    except httpx.HTTPError:
        return False


def _logged(world: ServedPair) -> int:
    with world.server.client() as client:
        return int(client.xlen("impressions"))
