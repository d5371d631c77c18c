"""A verdict in gRPC's words: the status of an error, and what goes with it in the trailing metadata."""

from __future__ import annotations

import json

import grpc
from google.protobuf.message import Message

from service import schema

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
    """The status that goes with an error."""
    return _STATUS.get(body.code, grpc.StatusCode.INVALID_ARGUMENT)


async def refuse(
    context: grpc.aio.ServicerContext[bytes, Message], body: schema.ErrorBody, again: int | None = None
) -> Message:
    """End a call with an error; again: seconds after which another try may help."""
    told: list[tuple[str, str | bytes]] = [(ERROR_KEY, json.dumps(body.model_dump(exclude_none=True)).encode())]
    if again is not None:
        told.append((PUSHBACK_KEY, str(1000 * again)))
    await context.abort(status_of(body), body.message, tuple(told))
    raise AssertionError("unreachable: abort raises")
