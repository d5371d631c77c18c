"""Refuses calls of verbs while too many are in flight, before their messages are received."""

from __future__ import annotations

from typing import Any

from grpc.aio import ServicerContext

from service.grpc import limits, verdict
from service.grpc.convert import SERVICE
from service.grpc.handlers import Handler
from service.grpc.interceptors.verb_calls import VerbInterceptor
from service.recommend.admission import overloaded
from service.schema import verbs
from service.schema.errors import error_body
from service.verbs.recommender import Recommender

_TIMED = {f"/{SERVICE.full_name}/{verb.rpc}" for verb in verbs.TIMED}


class Overload(VerbInterceptor):
    """Bounds the calls in flight. Slates have a limit of their own, which the recommender learns."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._calls = 0

    def wrapped(self, handler: Handler, details: Any) -> Handler:
        """The handler, counted; or the refusal."""
        timed = details.method in _TIMED

        async def counted(messages: Any, context: ServicerContext) -> bytes:
            if self._calls >= limits.CALLS or (timed and self._recommender.full):
                await verdict.abort(context, error_body(overloaded()))
            self._calls += 1
            try:
                return await handler(messages, context)
            finally:
                self._calls -= 1

        return counted
