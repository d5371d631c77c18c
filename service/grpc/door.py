"""The gRPC door: parse, call the recommender, map errors; and no more. Gateway workers share its port."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from pydantic import BaseModel

from recsys.errors import QueryError, TandemError
from service import answers, deadline, schema
from service.admission import overloaded
from service.auth.tls import Tls
from service.grpc import convert
from service.grpc.call import Call, RpcCall
from service.grpc.convert import SERVICE
from service.grpc.heads import Headers
from service.grpc.health import Health, reflected
from service.grpc.server import Admit, Methods, Server
from service.grpc.verdict import refused, status_of
from service.pipeline import RESERVE
from service.recommender import Recommender
from service.schema import verbs
from service.schema.verbs import Verb
from service.schema.verdict import INTERNAL, MAX_BODY, error_body
from service.telemetry import metrics

logger = logging.getLogger("tandem")

WAY_BACK_SECONDS = 0.002
"""Of a client's deadline, kept for the answer's way; what the slate takes, the pipeline keeps itself."""

ROUNDING = 0.01
"""By how much more gRPC may tell of a deadline than the client waits: from one second on it is sent in hundredths."""

LOOK_SECONDS, LOOK_AGAIN_SECONDS = 0.1, 1.0
"""How often health asks whether there is a generation to serve, and whether there still is."""

_OK = grpc.StatusCode.OK.name  # to ask an enumeration for a name is a call of Python's
_TIMED = {f"/{SERVICE.full_name}/{verb.rpc}": verb for verb in verbs.TIMED}

Answer = Callable[[Any, float], Awaitable[BaseModel]]
"""Takes a request and its deadline (monotonic seconds); gives an answer."""


class RpcDoor:
    """The server; it speaks for a recommender that may not be ready yet, and its health says so."""

    def __init__(
        self,
        recommender: Recommender,
        host: str,
        port: int,
        wrap: Callable[[str, RpcCall], RpcCall] = lambda _, call: call,
        admit: Admit | None = None,
        tls: Tls | None = None,
    ) -> None:
        """wrap: what each method's call is put into, by its full name. admit: whom each call is shown first."""
        self._tls = tls
        self._recommender = recommender
        self._wrap = wrap
        self._admit = admit
        self._place = (host, port)

    async def start(self) -> None:
        """Listen; SettingsError where the port can't be had."""
        self._health = Health(SERVICE.full_name)
        methods = Methods()
        calls = {verb.rpc: self._call(verb, answer) for verb, answer in self._answers().items()}
        methods.add({f"/{SERVICE.full_name}/{name}": call for name, call in calls.items()}, MAX_BODY)
        methods.add(self._health.calls)
        methods.add_streams(self._health.streams)
        methods.add_streams(reflected([SERVICE.full_name]))
        self._server = Server(methods, self._let_in)
        self._health.tell(self._recommender.ready)
        await self._server.listen(*self._place, self._tls.of_rpc() if self._tls else None)
        self._watching = asyncio.create_task(self._watch())

    async def stop(self, grace: float) -> None:
        """Take no more calls and let those under way end, for `grace` seconds at most."""
        self._leave()
        await self._server.close(grace)

    async def drain(self, seconds: float) -> None:
        """Not serving, says health; after so many seconds the port closes, and all that came is answered."""
        self._leave()
        await asyncio.sleep(seconds)
        await self._server.close()

    def _leave(self) -> None:
        self._watching.cancel()
        self._health.leave()

    def _let_in(self, path: str, headers: Headers) -> None:
        """QueryError for whom the gate refuses, or where too many are under way: before anything is read or begun."""
        if self._admit is not None:
            self._admit(path, headers)
        if path in _TIMED and self._recommender.full:
            metrics.request_seconds.labels(_TIMED[path].name, grpc.StatusCode.RESOURCE_EXHAUSTED.name).observe(0.0)
            raise overloaded()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS if self._recommender.ready else LOOK_SECONDS)
            self._health.tell(self._recommender.ready)

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
            verbs.ITEM: lambda request, _: recommender.item(request.item_id),
            verbs.FORGET_ITEM: lambda request, _: recommender.forget_item(request.item_id),
            verbs.USER: lambda request, _: recommender.user(request.user_id),
            verbs.FORGET: lambda request, _: recommender.forget(request.user_id),
            verbs.MERGE: lambda request, _: recommender.merge(request.user_id, request.into),
            verbs.STATUS: status,
        }

    async def _recommend(self, request: schema.RecommendRequest, due: float) -> BaseModel:
        """One slate or several: the same message holds both."""
        queries = await self._recommender.recommend(request, due)
        return schema.SlatesResponse.model_construct(slates=[answers.slate(query) for query in queries])

    def _call(self, verb: Verb[Any, Any], answer: Answer) -> RpcCall:
        """Time and count a verb, and turn what it raises into a status."""
        method = SERVICE.methods_by_name[verb.rpc]
        gives = GetMessageClass(method.output_type)
        timed = verb in verbs.TIMED
        read: Callable[[bytes], BaseModel] = partial(convert.request, GetMessageClass(method.input_type), verb.takes)

        async def call(data: bytes, asked: Call) -> bytes:
            start, status = time.monotonic(), _OK
            try:
                try:
                    due = self._due(asked, timed)
                    answered = await answer(read(data), due)
                    message: bytes = convert.message_of(gives, answered).SerializeToString()
                    return message
                except TandemError as error:
                    body = error_body(error)
                except Exception:
                    logger.exception("%s failed", verb.name)
                    body = INTERNAL
                status = status_of(body).name
                raise refused(body)
            except asyncio.CancelledError:
                status = asked.why_cancelled.name
                raise
            finally:
                metrics.timed(verb.name, status)(time.monotonic() - start)

        return self._wrap(f"{SERVICE.full_name}/{verb.rpc}", call)

    def _due(self, asked: Call, timed: bool) -> float:
        """When the answer must be there, by the monotonic clock; QueryError where that is too soon to begin.

        timed: whether the caller may ask for less in the metadata, as in HTTP's headers.
        """
        seconds = deadline.asked_seconds(asked.head.deadlines if timed else ())
        left = asked.time_remaining()
        if left is not None:
            left -= WAY_BACK_SECONDS + ROUNDING * left
            if left < RESERVE:  # it could only be late
                raise QueryError("The deadline leaves no time for an answer.", code="deadline")
            seconds = left if seconds is None else min(left, seconds)
        return self._recommender.due(seconds)
