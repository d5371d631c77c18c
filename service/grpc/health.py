"""What gRPC's own tools ask of any server: health (grpc.health.v1) and reflection, over the library's messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_reflection.v1alpha import reflection, reflection_pb2

from service.grpc.call import Call, RpcCall, RpcStream
from service.grpc.verdict import Refused

REFLECTION = reflection.SERVICE_NAME

_Status = health_pb2.HealthCheckResponse


class Health:
    """Whether services are ready, told to who asks once and to who watches."""

    def __init__(self, *services: str) -> None:
        self._status = dict.fromkeys(("", *services), _Status.NOT_SERVING)
        self._changed = asyncio.Event()
        self._left = False

    @property
    def calls(self) -> dict[str, RpcCall]:
        """By path."""
        return {f"/{HEALTH}/Check": self._check}

    @property
    def streams(self) -> dict[str, RpcStream]:
        """Likewise."""
        return {f"/{HEALTH}/Watch": self._watch}

    def tell(self, ready: bool) -> None:
        """Ready or not, from now on."""
        status = _Status.SERVING if ready and not self._left else _Status.NOT_SERVING
        if status != self._status[""]:
            self._status = dict.fromkeys(self._status, status)
            self._changed.set()
            self._changed = asyncio.Event()

    def leave(self) -> None:
        """Not ready, for good."""
        self._left = True
        self.tell(ready=False)

    async def _check(self, message: bytes, _: Call) -> bytes:
        status = self._status.get(_parsed(health_pb2.HealthCheckRequest, message).service)
        if status is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, "There is no such service here.")
        told: bytes = _Status(status=status).SerializeToString()
        return told

    async def _watch(self, messages: AsyncIterator[bytes], _: Call) -> AsyncIterator[bytes]:
        async for message in messages:
            service, told = _parsed(health_pb2.HealthCheckRequest, message).service, None
            while True:
                changed, status = self._changed, self._status.get(service, _Status.SERVICE_UNKNOWN)
                if status != told:
                    yield _Status(status=status).SerializeToString()
                told = status
                await changed.wait()


def reflected(services: Iterable[str]) -> Mapping[str, RpcStream]:
    """What describes these services to a client that knows nothing but an address."""
    servicer = reflection.aio.ReflectionServicer((*services, HEALTH, REFLECTION))

    async def asked(messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for message in messages:
            yield _parsed(reflection_pb2.ServerReflectionRequest, message)

    async def answer(messages: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        async for told in servicer.ServerReflectionInfo(asked(messages), call):
            yield told.SerializeToString()

    return {f"/{REFLECTION}/ServerReflectionInfo": answer}


def _parsed(kind: Any, message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except (DecodeError, UnicodeDecodeError) as error:
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"The bytes are no {kind.DESCRIPTOR.full_name}.") from error
