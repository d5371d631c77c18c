"""The gRPC door: parse, call the recommender, map errors; and no more. Gateway workers share its port."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection
from pydantic import BaseModel, ValidationError

from recsys.errors import QueryError, SettingsError, TandemError
from service import deadline, metrics, schema
from service.admission import overloaded
from service.answers import Told
from service.edge.tls import Tls
from service.pipeline import RESERVE
from service.ports import place
from service.recommender import Recommender
from service.rpc import closing, convert, limits
from service.rpc.convert import SERVICE
from service.rpc.limits import RpcCall
from service.rpc.verdict import refuse, status_of
from service.schema import verbs
from service.schema.verbs import Verb
from service.schema.verdict import AGAIN, INTERNAL, MAX_BODY, error_body, query_error, too_large

logger = logging.getLogger("tandem")

MAX_MESSAGE = 4 * MAX_BODY
"""Bytes beyond which gRPC itself refuses, in its own words; up to there the words are those of the HTTP door."""

WAY_BACK_SECONDS = 0.002
"""Of a client's deadline, kept for the answer's way; what the slate takes, the pipeline keeps itself."""

ROUNDING = 0.01
"""By how much more gRPC may tell of a deadline than the client waits: from one second on it is sent in hundredths."""

LOOK_SECONDS = 0.1
"""How often health asks whether there is a generation to serve."""

Answer = Callable[[Any, float], Awaitable[BaseModel | Told]]
"""Takes a request and when its answer must be there."""


class RpcDoor:
    """The server; it speaks for a recommender that may not be ready yet, and its health says so."""

    def __init__(
        self,
        recommender: Recommender,
        host: str,
        port: int,
        wrap: Callable[[str, RpcCall], RpcCall] = lambda _, call: call,
        before: Sequence[grpc.aio.ServerInterceptor] = (),
        tls: Tls | None = None,
    ) -> None:
        """wrap: what each method's call is put into, by the method's full name. before: what is asked before it."""
        self._tls = tls
        self._recommender = recommender
        self._wrap = wrap
        self._before = before
        self._port = port
        self._place = place(host, port)
        self._under_way = 0
        self._health = health_aio.HealthServicer()

    async def start(self) -> None:
        """Listen; SettingsError where the port can't be had."""
        self._server = grpc.aio.server(
            interceptors=self._before,
            options=[("grpc.so_reuseport", 1), ("grpc.max_receive_message_length", MAX_MESSAGE), *limits.OPTIONS],
        )
        handlers = {verb.rpc: self._handler(verb, answer) for verb, answer in self._answers().items()}
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([SERVICE.full_name, HEALTH, reflection.SERVICE_NAME], self._server)
        try:
            if self._tls is None:
                self._server.add_insecure_port(self._place)
            else:
                self._server.add_secure_port(self._place, self._tls.of_rpc())
        except RuntimeError as error:
            raise SettingsError(f"{self._place} can't be bound. Choose another port: GRPC_PORT=...") from error
        await self._tell_health()
        await self._server.start()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self, grace: float) -> None:
        """Take no more calls and let those under way end, for `grace` seconds at most; who calls now is cut off."""
        self._watching.cancel()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)

    async def drain(self, seconds: float) -> None:
        """Not serving, says health; after so many seconds the port closes, and all that came is answered."""
        self._watching.cancel()
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(seconds)
        await closing.close(self._server, self._port, lambda: self._under_way > 0)

    def _ended(self, _: Any) -> None:
        self._under_way -= 1

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._tell_health()

    async def _tell_health(self) -> None:
        health = health_pb2.HealthCheckResponse
        status = health.SERVING if self._recommender.ready else health.NOT_SERVING
        for name in ("", SERVICE.full_name):
            await self._health.set(name, status)

    def _answers(self) -> dict[Verb[Any, Any], Answer]:
        recommender = self._recommender

        async def status(_: schema.StatusRequest, __: float) -> BaseModel:
            return recommender.status()

        return {
            verbs.RECOMMEND: self._recommend,
            verbs.SIMILAR: lambda request, due: recommender.similar(request, due),
            verbs.EXPLAIN: lambda request, due: recommender.explain(request, due),
            verbs.EVENTS: lambda request, _: recommender.add_events(request.events),
            verbs.ITEMS: lambda request, _: recommender.put_items(request.items),
            verbs.USER: lambda request, _: recommender.user(request.user_id),
            verbs.FORGET: lambda request, _: recommender.forget(request.user_id),
            verbs.STATUS: status,
        }

    async def _recommend(self, request: schema.RecommendRequest, due: float) -> Told:
        """One slate or several: the same message holds both."""
        answer = await self._recommender.recommend(request, due)
        return answer if "slates" in answer else {"slates": [answer]}

    def _handler(self, verb: Verb[Any, Any], answer: Answer) -> grpc.RpcMethodHandler:
        """Time and count a verb, and turn what it raises into a status."""
        method = SERVICE.methods_by_name[verb.rpc]
        takes, gives = GetMessageClass(method.input_type), GetMessageClass(method.output_type)

        async def call(data: bytes, context: grpc.aio.ServicerContext[bytes, Message]) -> Message:
            start, status = time.monotonic(), grpc.StatusCode.OK
            self._under_way += 1
            context.add_done_callback(self._ended)  # when the answer is sent, too
            try:
                try:
                    if verb in verbs.TIMED and self._recommender.full:
                        raise overloaded()
                    due = self._due(context, verb in verbs.TIMED)
                    answered = await answer(_request(takes, data, verb.takes), due)
                    return convert.message_of(gives, answered)
                except TandemError as error:
                    body = error_body(error)
                except Exception:
                    logger.exception("%s failed", verb.name)
                    body = INTERNAL
                status = status_of(body)
                return await refuse(context, body, AGAIN.get(body.code))
            except asyncio.CancelledError:
                status = _why_cancelled(context)
                raise
            finally:
                metrics.request_seconds.labels(verb.name, status.name).observe(time.monotonic() - start)

        wrapped = self._wrap(f"{SERVICE.full_name}/{verb.rpc}", call)
        handler = limits.in_time(wrapped, lambda context, error: refuse(context, error_body(error)))
        return grpc.stream_unary_rpc_method_handler(handler, response_serializer=gives.SerializeToString)

    def _due(self, context: grpc.aio.ServicerContext[bytes, Message], timed: bool) -> float:
        """When the answer must be there, by the monotonic clock; QueryError where that is too soon to begin.

        timed: whether the caller may ask for less in the metadata, as in HTTP's headers.
        """
        metadata = context.invocation_metadata() or ()
        seconds = deadline.asked_seconds([told for key, told in metadata if key == deadline.HEADER]) if timed else None
        left = context.time_remaining()
        if left is not None:
            left -= WAY_BACK_SECONDS + ROUNDING * left
            if left < RESERVE:  # it could only be late
                raise QueryError("The deadline leaves no time for an answer.", code="deadline")
            seconds = left if seconds is None else min(left, seconds)
        return self._recommender.due(seconds)


def _request(kind: type[Message], data: bytes, model: type[BaseModel]) -> BaseModel:
    """The request in these bytes; QueryError names the first wrong field, in the words of the HTTP door."""
    if len(data) > MAX_BODY:
        raise too_large()
    try:
        return model.model_validate(convert.asked(convert.parse(kind, data)))
    except ValidationError as error:
        raise query_error(error) from error


def _why_cancelled(context: grpc.aio.ServicerContext[bytes, Message]) -> grpc.StatusCode:
    left = context.time_remaining()
    return grpc.StatusCode.CANCELLED if left is None or left > 0 else grpc.StatusCode.DEADLINE_EXCEEDED
