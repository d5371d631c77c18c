"""Health (grpc.health.v1) and reflection, which gRPC's own tools call.

grpc_health's servicer is not used. One Watch call that ends leaves the other Watch calls of its service without further
statuses, and one whose client reads nothing holds the lock that a change of the status needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
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
from service.grpc.handlers import received
from service.grpc.verdict import abort
from service.schema.errors import error_body
from service.schema.verbs import IDS_BYTES

REFLECTION = reflection.SERVICE_NAME

LOOK_SECONDS = 0.1
"""How often a Watch call looks whether the status has changed."""

_Status = health_pb2.HealthCheckResponse


class OpenEndedCalls:
    """The calls that their clients leave open, of Watch and of reflection: few, and ended when the server stops."""

    def __init__(self, most: int = limits.OPEN_ENDED_CALLS) -> None:
        self._most = most
        self._open: set[asyncio.Timeout] = set()

    async def run(self, context: ServicerContext, work: Coroutine[Any, Any, None]) -> None:
        """Run a call's work until it ends or the server stops; refuse it if too many calls are open."""
        if len(self._open) >= self._most:
            work.close()
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many Watch and reflection calls are open.")
        try:
            async with asyncio.timeout(None) as stop:
                self._open.add(stop)
                try:
                    await work
                finally:
                    self._open.discard(stop)
        except TimeoutError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The server stops.")

    def end(self) -> None:
        """End all of them."""
        while self._open:
            self._open.pop().reschedule(asyncio.get_running_loop().time())


class Health:
    """Whether the server takes requests; for itself and for the service of the verbs."""

    def __init__(self, ready: Callable[[], bool], calls: OpenEndedCalls) -> None:
        self._ready = ready
        self._calls = calls
        self._checks: dict[asyncio.Timeout, None] = {}
        self._draining = False

    def drain(self) -> None:
        """Not serving from now on."""
        self._draining = True

    @property
    def handlers(self) -> Any:
        """As grpc takes them."""
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
        if len(self._checks) >= limits.CHECKS:
            self._end_oldest_check()
        try:
            async with asyncio.timeout(None) as waiting:
                self._checks[waiting] = None
                try:
                    request = await _received(context, health_pb2.HealthCheckRequest)
                finally:
                    self._checks.pop(waiting, None)
        except TimeoutError:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many Check calls are open.")
        status = self._status(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service here.")
        return bytes(_Status(status=status).SerializeToString())

    def _end_oldest_check(self) -> None:
        """Not the newest: a client that sends its message with the call is answered, however many do not."""
        oldest = next(iter(self._checks))
        del self._checks[oldest]
        oldest.reschedule(asyncio.get_running_loop().time())

    async def _watch(self, _: Any, context: ServicerContext) -> None:
        await self._calls.run(context, self._tell(context))

    async def _tell(self, context: ServicerContext) -> None:
        request, last = await _received(context, health_pb2.HealthCheckRequest), None
        while True:
            status = self._status(request.service, _Status.SERVICE_UNKNOWN)
            if status != last:
                await context.write(_Status(status=status).SerializeToString())
                last = status
            await asyncio.sleep(LOOK_SECONDS)


def reflection_handlers(calls: OpenEndedCalls) -> Any:
    """Reflection by grpc_reflection's servicer, as grpc takes handlers."""
    servicer = reflection.aio.ReflectionServicer((SERVICE.full_name, HEALTH, REFLECTION))

    async def requests(context: ServicerContext) -> AsyncIterator[Any]:
        while (message := await context.read()) is not grpc.aio.EOF:
            yield await _parsed(context, reflection_pb2.ServerReflectionRequest, message)

    async def answer(context: ServicerContext) -> None:
        async for response in servicer.ServerReflectionInfo(requests(context), context):
            await context.write(response.SerializeToString())

    async def reflect(_: Any, context: ServicerContext) -> None:
        await calls.run(context, answer(context))

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
