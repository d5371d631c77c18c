"""Sends gRPC requests for recommendations at a fixed rate in fault tests, and watches the server's health meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.grpc.tandem.v1.recommender_pb2_grpc import RecommenderStub
from tests.judged_load.http_load import TIMEOUT_SECONDS, K, OpenLoop, Send

CHANNELS = 4
"""Each has a connection of its own."""


class GrpcLoad(OpenLoop):
    """Calls Recommend. health: unix seconds of each message of the health service, and whether SERVING."""

    def __init__(
        self, address: str, users: list[int | str], rate: float = 40.0, metadata: dict[str, str] | None = None
    ) -> None:
        super().__init__(address, users, rate)
        self.health: list[tuple[float, bool]] = []
        self._metadata = tuple((metadata or {}).items())

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[Send]:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(self._address, options) for _ in range(CHANNELS)]
        watching = asyncio.create_task(self._watch(channels[0]))
        yield partial(self._send, itertools.cycle(map(RecommenderStub, channels)))
        watching.cancel()
        for channel in channels:
            await channel.close()

    async def _send(self, stubs: Iterator[RecommenderStub], user: int | str) -> tuple[int, dict[str, Any] | None, str]:
        user_id = pb.Id(number=user) if isinstance(user, int) else pb.Id(text=user)
        request = pb.RecommendRequest(user_id=user_id, k=K)
        try:
            answer = await next(stubs).Recommend(request, timeout=TIMEOUT_SECONDS, metadata=self._metadata)
            return 200, _as_json(answer.slates[0], user), ""
        except grpc.RpcError as error:
            return 0, None, f"{error.code().name}: {error.details()}"

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        try:
            async for message in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
                self.health.append((time.time(), message.status == health_pb2.HealthCheckResponse.SERVING))
        except grpc.RpcError:  # the server has ended
            pass


def _as_json(slate: pb.Slate, user: int | str) -> dict[str, Any]:
    """The fields of the slate that are compared, as in the HTTP body."""
    body = MessageToDict(slate, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    items = [
        {"item_id": each.item_id.text or each.item_id.number, "score": each.score, "tower_score": each.tower_score}
        for each in slate.items
    ]
    return body | {"user_id": user, "items": items, "degraded": list(slate.degraded)}
