"""The verdict on a refused or failed gRPC call: a status, a sentence, and HTTP's JSON error as trailing metadata."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import grpc
from grpc.aio import ServicerContext

from service import schema
from service.schema.errors import RETRY_AFTER_SECONDS

ERROR_KEY = "tandem-error-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"

_STATUS = {
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "forbidden": grpc.StatusCode.PERMISSION_DENIED,
    "limited": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "overloaded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "full": grpc.StatusCode.FAILED_PRECONDITION,
    "deadline": grpc.StatusCode.DEADLINE_EXCEEDED,
    "timeout": grpc.StatusCode.DEADLINE_EXCEEDED,
    "not_ready": grpc.StatusCode.UNAVAILABLE,
    "store": grpc.StatusCode.UNAVAILABLE,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "internal": grpc.StatusCode.INTERNAL,
}


def status_of(body: schema.ErrorBody) -> grpc.StatusCode:
    """The status of an error."""
    return _STATUS.get(body.code, grpc.StatusCode.INVALID_ARGUMENT)


async def abort(context: ServicerContext, body: schema.ErrorBody, retry_after: int | None = None) -> NoReturn:
    """End a call with an error.

    retry_after: seconds until a retry may succeed; None for what the error's code implies.
    """
    retry_after = RETRY_AFTER_SECONDS.get(body.code) if retry_after is None else retry_after
    trailing: list[tuple[str, str | bytes]] = [(ERROR_KEY, json.dumps(body.model_dump(exclude_none=True)).encode())]
    if retry_after is not None:
        trailing.append((PUSHBACK_KEY, str(1000 * retry_after)))
    await context.abort(status_of(body), body.message, tuple(trailing))
    raise AssertionError("abort raises")


def refusal(body: schema.ErrorBody, retry_after: int | None = None) -> Any:
    """The handler of a call that is refused by its metadata.

    It is a handler of streams: grpc calls a unary handler after it has received the message.
    """

    async def refuse(_: Any, context: ServicerContext) -> bytes:
        await abort(context, body, retry_after)

    return grpc.stream_unary_rpc_method_handler(refuse)
