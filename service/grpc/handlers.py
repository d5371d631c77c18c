"""The handlers of the verbs: they parse a message, call the recommender, and map errors; and no more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from grpc.aio import ServicerContext
from pydantic import BaseModel

from recsys.errors import QueryError, TandemError
from service import schema
from service.grpc import convert, limits, verdict
from service.grpc.convert import SERVICE
from service.recommend import deadlines
from service.recommend.pipeline import RESERVE
from service.schema import verbs
from service.schema.errors import INTERNAL, error_body, too_large
from service.schema.verbs import Verb
from service.verbs import answers
from service.verbs.recommender import Recommender

logger = logging.getLogger("tandem")

RETURN_SECONDS = 0.002
"""Of a client's deadline, kept for the answer's way back."""

ROUNDING = 0.01
"""By how much the deadline that arrives may exceed the client's: from 1 s on, gRPC sends it in hundredths."""

Answer = Callable[[Any, float], Awaitable[BaseModel]]
"""Takes a request and its deadline (monotonic seconds); gives an answer."""

Handler = Callable[[Any, ServicerContext], Awaitable[bytes]]
"""Takes the call's messages, which it reads from the context, and gives the bytes of the answer."""


def handlers(recommender: Recommender) -> Any:
    """Handlers of all verbs, as grpc takes them."""
    methods = {
        verb.rpc: grpc.stream_unary_rpc_method_handler(_handler(recommender, verb, answer))
        for verb, answer in _answers(recommender).items()
    }
    return grpc.method_handlers_generic_handler(SERVICE.full_name, methods)


def _answers(recommender: Recommender) -> dict[Verb[Any], Answer]:
    async def recommend(request: schema.RecommendRequest, due: float) -> BaseModel:
        """One slate or several: the same message holds both."""
        queries = await recommender.recommend(request, due)
        return schema.SlatesResponse.model_construct(slates=[answers.slate(query) for query in queries])

    async def status(_: schema.StatusRequest, __: float) -> BaseModel:
        return recommender.status()

    return {
        verbs.RECOMMEND: recommend,
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


def _handler(recommender: Recommender, verb: Verb[Any], answer: Answer) -> Handler:
    """The handler of a verb. A call of one message is on the wire a stream of one: only so its message has a limit."""
    method = SERVICE.methods_by_name[verb.rpc]
    gives = GetMessageClass(method.output_type)
    parse = partial(convert.request, GetMessageClass(method.input_type), verb.takes)
    timed = verb in verbs.TIMED

    async def handle(_: Any, context: ServicerContext) -> bytes:
        try:
            due = recommender.due(_seconds(context, timed))
            answered = await answer(parse(await received(context, verb.most_bytes)), due)
            return bytes(convert.message_of(gives, answered).SerializeToString())
        except TandemError as error:
            body = error_body(error)
        except grpc.aio.AbortError:
            raise
        except Exception:
            logger.exception("%s failed", verb.name)
            body = INTERNAL
        return await verdict.abort(context, body)

    return handle


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
    asked = [value for name, value in metadata if name == deadlines.HEADER] if timed else ()
    seconds = deadlines.asked_seconds(asked)
    left: float | None = context.time_remaining()
    if left is None:
        return seconds
    left -= RETURN_SECONDS + ROUNDING * left
    if left < RESERVE:  # an answer would be late
        raise QueryError("The deadline leaves no time for an answer.", code="deadline")
    return left if seconds is None else min(left, seconds)
