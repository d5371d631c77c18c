"""The health service (grpc.health.v1) of the gRPC server, and reflection, which describes its methods to clients.

grpc_health's servicer is not used. One Watch call that ends leaves the other Watch calls of its service without further
statuses, and one whose client reads nothing holds the lock that a change of the status needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_reflection.v1alpha import reflection, reflection_pb2

from recsys.errors import TandemError
from service.grpc import limits
from service.grpc.convert import SERVICE
from service.grpc.error_status import abort
from service.grpc.handlers import received
from service.schema.errors import error_body
from service.schema.verb_table import IDS_BYTES

REFLECTION = reflection.SERVICE_NAME

CHECK_SECONDS = 0.1
"""Time between two checks of a Watch call whether the status has changed."""

_Status = health_pb2.HealthCheckResponse


class CallLimit:
    """At most `most` calls of a kind are open: calls that need no key or have no end must not shut out others."""

    def __init__(self, most: int, kind: str, ends_oldest: bool = False) -> None:
        """ends_oldest: one call too many ends the oldest call, and is not refused."""
        self._most, self._kind, self._ends_oldest = most, kind, ends_oldest
        self._open: dict[asyncio.Timeout, None] = {}
        self._stopped = False

    @asynccontextmanager
    async def hold(self, context: ServicerContext) -> AsyncIterator[None]:
        """Hold a place for a call. The call is aborted if there is none, or if the place is taken away."""
        if len(self._open) >= self._most:
            if not self._ends_oldest:
                await self._refuse(context)
            self._end(next(iter(self._open)))
        try:
            async with asyncio.timeout(None) as place:
                self._open[place] = None
                try:
                    yield
                finally:
                    self._open.pop(place, None)
        except TimeoutError:
            await self._refuse(context)

    def stop(self) -> None:
        """End all calls: the server stops."""
        self._stopped = True
        for place in tuple(self._open):
            self._end(place)

    def _end(self, place: asyncio.Timeout) -> None:
        del self._open[place]
        place.reschedule(asyncio.get_running_loop().time())

    async def _refuse(self, context: ServicerContext) -> None:
        if self._stopped:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The server stops.")
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"Too many {self._kind} calls are open.")


class Health:
    """The health of the server and of its service Recommender: SERVING or NOT_SERVING."""

    def __init__(self, ready: Callable[[], bool], open_ended: CallLimit) -> None:
        self._ready = ready
        self._open_ended = open_ended
        self._checks = CallLimit(limits.CHECKS, "Check", ends_oldest=True)
        self._draining = False

    def drain(self) -> None:
        """Turn NOT_SERVING."""
        self._draining = True

    @property
    def handlers(self) -> Any:
        """The handlers in the form that grpc takes."""
        methods = {
            "Check": grpc.stream_unary_rpc_method_handler(self._check),
            "Watch": grpc.stream_stream_rpc_method_handler(self._watch),
        }
        return grpc.method_handlers_generic_handler(HEALTH, methods)

    def _status(self, service: str, unknown: Any = None) -> Any:
        if service not in ("", SERVICE.full_name):
            return unknown
        return _Status.SERVING if self._ready() and not self._draining else _Status.NOT_SERVING

    async def _check(self, _: Any, context: ServicerContext) -> bytes:
        async with self._checks.hold(context):  # a client that sends its message with the call is never the oldest
            request = await _received(context, health_pb2.HealthCheckRequest)
        status = self._status(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service here.")
        return bytes(_Status(status=status).SerializeToString())

    async def _watch(self, _: Any, context: ServicerContext) -> None:
        async with self._open_ended.hold(context):
            request, last = await _received(context, health_pb2.HealthCheckRequest), None
            while True:
                status = self._status(request.service, _Status.SERVICE_UNKNOWN)
                if status != last:
                    await context.write(_Status(status=status).SerializeToString())
                    last = status
                await asyncio.sleep(CHECK_SECONDS)


def reflection_handlers(open_ended: CallLimit) -> Any:
    """The handlers of reflection, by the servicer of grpc_reflection."""
    servicer = reflection.aio.ReflectionServicer((SERVICE.full_name, HEALTH, REFLECTION))

    async def requests(context: ServicerContext) -> AsyncIterator[Any]:
        while (message := await context.read()) is not grpc.aio.EOF:
            yield await _parsed(context, reflection_pb2.ServerReflectionRequest, message)

    async def reflect(_: Any, context: ServicerContext) -> None:
        async with open_ended.hold(context):
            async for response in servicer.ServerReflectionInfo(requests(context), context):
                await context.write(response.SerializeToString())

    methods = {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(reflect)}
    return grpc.method_handlers_generic_handler(REFLECTION, methods)


async def _received(context: ServicerContext, kind: Any) -> Any:
    try:
        return await _parsed(context, kind, await received(context, IDS_BYTES))
    except TandemError as error:
        await abort(context, error_body(error))


async def _parsed(context: ServicerContext, kind: Any, message: Any) -> Any:
    try:
        return kind.FromString(message)
    except (DecodeError, UnicodeDecodeError):
        sentence = f"The bytes are not a valid {kind.DESCRIPTOR.full_name}."
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, sentence)
