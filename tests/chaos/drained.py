"""Deployments that stop under load, over both doors: is an accepted request lost?

A request is accepted once its bytes went out on a connection that a worker had accepted. A refused connection is not
accepted, nor is one that comes after the drain: the workers have closed the listening socket, and the process manager
holds it for a second more, so the kernel takes the connection and resets it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from tests.chaos.load import Answer, Load
from tests.chaos.outcome import Outcome, judge
from tests.chaos.rpc_load import RpcLoad
from tests.chaos.served import USERS, Served
from tests.servers.deployment import Deployment

EXIT = 30.0
"""Seconds from SIGTERM to the end of the process, at most."""

LOGGED = {"TANDEM_IMPRESSIONS_PER_SECOND": "1000"}
"""Every slate is to be logged, so that they can be counted."""

NOBODY = ("ClientConnector", "ConnectionTimeout", "UNAVAILABLE: failed to connect", "CANCELLED: CANCELLED")
"""Errors of requests that no server took. grpc cancels a call that arrives after its GOAWAY unread; a slate that was
made for such a call would be logged and not be answered, which is counted."""

RESET = ("ClientOSError: [Errno 104]", "ClientOSError: [Errno None] Can not write", "ServerDisconnectedError")
"""Errors of a connection that the kernel took and no worker accepted."""


@dataclass
class Drains:
    """What came of some drains, over both doors together."""

    http: list[Answer] = field(default_factory=list)
    rpc: list[Answer] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def accepted(answers: Sequence[Answer]) -> list[Answer]:
    """The answers of requests that reached a worker."""
    return [each for each in answers if not each.said.startswith(NOBODY)]


def before_or_answered(answers: Sequence[Answer], closed: float) -> list[Answer]:
    """The answers, without those of connections that were reset after the listening socket was closed."""
    return [each for each in answers if each.due < closed or not each.said.startswith(RESET)]


def drain(world: Served, drains: Drains, moment: float, unready_for: float, rate: float = 20.0) -> None:
    """Tell the deployment to stop after so many seconds of load, and note what came of it; it has ended then.

    unready_for: its TANDEM_DRAIN_SECONDS; where that is 0 nobody has the time to see that it is not ready. rate: of
    each door.
    """
    before, deployment = _logged(world), world.deployment
    with Load(deployment.url, USERS, rate) as load, RpcLoad(deployment.grpc, USERS, rate) as rpc:
        time.sleep(moment)
        told, unready = time.time(), False
        deployment.process.send_signal(signal.SIGTERM)
        while deployment.process.poll() is None and time.time() < told + 2 * EXIT:
            unready = unready or _unready(deployment)
            time.sleep(0.02)
        drains.seconds.append(time.time() - told)
        code = deployment.process.wait(1)
    drains.http += before_or_answered(load.answers, told + unready_for)
    drains.rpc += rpc.answers
    slates = [each for each in (*load.answers, *rpc.answers) if not each.failed and not each.degraded]
    if code:
        drains.wrong.append(f"it ended with {code}")
    if unready_for and not unready:
        drains.wrong.append("/readyz did not say 503")
    if not rpc.health or rpc.health[-1][1]:
        drains.wrong.append("gRPC's health did not say NOT_SERVING")
    if (logged := _logged(world) - before) != len(slates):
        drains.wrong.append(f"{len(slates)} slates were given, {logged} logged")


def judged(world: Served, drains: Drains) -> list[Outcome]:
    """A line for each door."""
    slowest = max(drains.seconds)
    late = [f"it took {slowest:.1f} s to end, and {EXIT:.0f} were allowed"] if slowest > EXIT else []
    note = f"ended after {min(drains.seconds):.1f} to {slowest:.1f} s"
    return [
        judge(
            f"drained {len(drains.seconds)} times, {door}",
            accepted(answers),
            world.expected,
            None,
            whole=True,
            note=f"{note}; {len(answers) - len(accepted(answers))} came too late and were told so",
            wrong=wrong,
        )
        for door, answers, wrong in (("HTTP", drains.http, drains.wrong + late), ("gRPC", drains.rpc, late))
    ]


def drained(world: Served, times: int = 20) -> list[Outcome]:
    """Load, SIGTERM, and a new start, so many times, at moments that differ; world: with the settings LOGGED."""
    drains = Drains()
    for number in range(times):
        unready_for = 0.5 * (number % 2)
        if number:
            world.deployment = world.deploy(TANDEM_DRAIN_SECONDS=str(unready_for))
            world.deployment.start()
            world.deployment.wait_until_ready()
        drain(world, drains, 1.5 + 0.037 * number, unready_for)
    return judged(world, drains)


def _unready(deployment: Deployment) -> bool:
    try:
        return httpx.get(f"{deployment.url}/readyz", timeout=0.5).status_code == 503
    except httpx.HTTPError:
        return False


def _logged(world: Served) -> int:
    with world.server.client() as client:
        return int(client.xlen("impressions"))
