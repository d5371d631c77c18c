"""Deployments that are told to stop under load, over both doors: is anything lost that they had accepted?

A request is accepted once its bytes went out on a connection that the server had taken. Who finds nobody there (refused
or never connected) is not, and goes elsewhere; whoever gets no answer then, or one that is none, was lost.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import grpc
import httpx
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.rpc.tandem.v1 import recommender_pb2 as pb
from service.rpc.tandem.v1.recommender_pb2_grpc import RecommenderStub
from tests.chaos.load import TIMEOUT, Answer, K, Load
from tests.chaos.outcome import Outcome, judge
from tests.chaos.served import USERS, Served
from tests.deployment import Deployment

EXIT = 30.0
"""Seconds from SIGTERM to the end of the process, at most."""

LOGGED = {"TANDEM_IMPRESSIONS_PER_SECOND": "1000"}
"""Every slate is to be logged, so that they can be counted."""

NOBODY = ("ClientConnector", "ConnectionTimeout", "UNAVAILABLE: failed to connect")
"""How the two clients say that they found nobody there."""


class RpcLoad:
    """As Load, over gRPC: four channels with a connection each."""

    def __init__(self, place: str, users: list[int | str], rate: float = 40.0) -> None:
        self.answers: list[Answer] = []
        self.health: list[tuple[float, bool]] = []
        self._place, self._users, self._rate = place, users, rate
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="rpc-load")

    def __enter__(self) -> RpcLoad:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    async def _run(self) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(self._place, options) for _ in range(4)]
        stubs, users, tasks = itertools.cycle(map(RecommenderStub, channels)), itertools.cycle(self._users), set()
        watching = asyncio.create_task(self._watch(channels[0]))
        start = time.time()
        for number in itertools.count():
            due = start + number / self._rate
            await asyncio.sleep(max(0.0, due - time.time()))
            if self._stopped.is_set():
                break
            task = asyncio.create_task(self._ask(next(stubs), next(users), due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        watching.cancel()
        for channel in channels:
            await channel.close()

    async def _ask(self, stub: RecommenderStub, user: int | str, due: float) -> None:
        status, body, said = 0, None, ""
        named = pb.Id(number=user) if isinstance(user, int) else pb.Id(text=user)
        try:
            answer = await stub.Recommend(pb.RecommendRequest(user_id=named, k=K), timeout=TIMEOUT)
            status, body = 200, _as_json(answer.slates[0], user)
        except grpc.RpcError as error:
            said = f"{error.code().name}: {error.details()}"
        self.answers.append(Answer(due, time.time() - due, status, body, said))

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        try:
            async for told in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
                self.health.append((time.time(), told.status == health_pb2.HealthCheckResponse.SERVING))
        except grpc.RpcError:  # the server has gone
            pass


def _as_json(slate: pb.Slate, user: int | str) -> dict[str, Any]:
    """As the HTTP door has it, as far as it is compared."""
    told = MessageToDict(slate, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    items = [
        {"item_id": each.item_id.text or each.item_id.number, "score": each.score, "tower_score": each.tower_score}
        for each in slate.items
    ]
    return told | {"user_id": user, "items": items, "degraded": list(slate.degraded)}


@dataclass
class Drains:
    """What came of some drains, over both doors together."""

    http: list[Answer] = field(default_factory=list)
    rpc: list[Answer] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def accepted(answers: Sequence[Answer]) -> list[Answer]:
    """Those that reached somebody."""
    return [each for each in answers if not each.said.startswith(NOBODY)]


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
    drains.http += load.answers
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
