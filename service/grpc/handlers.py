"""The gRPC handlers, one for each endpoint: parse the message, call the recommender, turn an error into a status."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from grpc.aio import ServicerContext

from recsys.errors import QueryError, TandemError
from service.experiments import request_arms
from service.grpc import convert, error_status, limits
from service.grpc.call_status import reported
from service.grpc.convert import SERVICE
from service.recommend import deadlines
from service.recommend.admission import overloaded
from service.recommend.guard import RESERVE
from service.schema.errors import INTERNAL, error_body, too_large
from service.schema.verb_table import VERBS, Verb
from service.telemetry import metrics
from service.verbs.recommender import Recommender

logger = logging.getLogger("tandem")

RETURN_SECONDS = 0.002
"""Share of the deadline of a client that is kept to send the answer."""

ROUNDING = 0.01
"""By how much the deadline that arrives may exceed the client's: from 1 s on, gRPC sends it in hundredths."""

Handler = Callable[[Any, ServicerContext], Awaitable[bytes]]
"""Reads the message of a call from the context, and returns the bytes of the answer."""


class VerbHandlers:
    """The handlers of all endpoints. They bound the calls in flight, and count and time each call."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._in_flight = 0

    @property
    def handlers(self) -> Any:
        """The handlers in the form that grpc takes."""
        methods = {verb.rpc: grpc.stream_unary_rpc_method_handler(self._handler(verb)) for verb in VERBS}
        return grpc.method_handlers_generic_handler(SERVICE.full_name, methods)

    def _handler(self, verb: Verb[Any]) -> Handler:
        """The handler of a verb. It reads a stream of one message: grpc would read a unary call's without a limit."""

        async def handle(_: Any, context: ServicerContext) -> bytes:
            start = time.monotonic()

            def report(status: grpc.StatusCode) -> None:
                metrics.timed(verb.name, status.name)(time.monotonic() - start)

            self._in_flight += 1
            try:
                with reported(context, report):
                    return await self._answer(verb, context)
            finally:
                self._in_flight -= 1

        return handle

    async def _answer(self, verb: Verb[Any], context: ServicerContext) -> bytes:
        method = SERVICE.methods_by_name[verb.rpc]
        try:
            if self._in_flight > limits.CALLS:
                raise overloaded()
            deadline = self._recommender.admit(verb, _seconds(context, verb.timed))
            message = await received(context, verb.most_bytes)
            request = convert.request(GetMessageClass(method.input_type), verb.takes, message)
            forced = [value for name, value in context.invocation_metadata() or () if name == request_arms.HEADER]
            answer = await self._recommender.answer(verb, request, deadline, forced)
            return bytes(convert.message_of(GetMessageClass(method.output_type), answer).SerializeToString())
        except TandemError as error:
            body = error_body(error)
        except Exception:
            logger.exception("%s failed", verb.name)
            body = INTERNAL
        return await error_status.abort(context, body)


async def received(context: ServicerContext, most: int) -> bytes:
    """The bytes of a call's one message; QueryError for none, a late one, or one of more bytes than `most`."""
    try:
        async with asyncio.timeout(limits.MESSAGE_SECONDS):
            message: Any = await context.read()
    except TimeoutError as error:
        sentence = f"The message did not come within {limits.MESSAGE_SECONDS:g} seconds."
        raise QueryError(sentence, code="timeout") from error
    if message is grpc.aio.EOF:
        raise QueryError("There is no message.", code="not_protobuf")
    if len(message) > most:
        raise too_large(most)
    return bytes(message)


def _seconds(context: ServicerContext, timed: bool) -> float | None:
    """Seconds until the answer is due, None for no deadline; QueryError if the deadline is too near.

    timed: whether the metadata `x-deadline-ms` counts, like HTTP's header.
    """
    metadata = context.invocation_metadata() or ()
    values = [value for name, value in metadata if name == deadlines.HEADER] if timed else ()
    seconds = deadlines.requested_seconds(values)
    left: float | None = context.time_remaining()
    if left is None:
        return seconds
    left -= RETURN_SECONDS + ROUNDING * left
    if left < RESERVE:  # an answer would be late
        raise QueryError("The deadline leaves no time for an answer.", code="deadline")
    return left if seconds is None else min(left, seconds)
