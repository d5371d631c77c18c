"""What a stranger may take of the gRPC door: connections, streams, metadata, pings, and time until a message is here.

The HTTP door's are in `service.edge.bounds`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from recsys.errors import QueryError
from service.edge import bounds

RpcCall = Callable[[bytes, Any], Awaitable[Any]]
"""Answers the bytes of a message, in gRPC's context."""

OPTIONS = [
    # A message of a few kilobytes may unpack to gigabytes, and is unpacked before its size is known to anybody: only
    # "identity" is taken, as at the HTTP door.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.server_handshake_timeout_ms", int(1000 * bounds.HANDSHAKE_SECONDS)),
    ("grpc.max_allowed_incoming_connections", 1000),
    ("grpc.max_concurrent_streams", 256),
    ("grpc.max_metadata_size", bounds.HEAD_BYTES // 2),
    ("grpc.absolute_max_metadata_size", bounds.HEAD_BYTES),
    # A connection with nothing to do is closed after a minute, and any after an hour; a client's next call opens
    # another.
    ("grpc.max_connection_idle_ms", 60_000),
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
    # A client that is gone without a word is found by a ping; who pings more often than each ten seconds is closed.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", int(1000 * bounds.READ_SECONDS)),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
]
"""Of the server."""


def in_time(call: RpcCall, refuse: Callable[[Any, QueryError], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    """A call whose message has to be here in time; gRPC's own for one message waits for it for ever.

    On the wire it is the same: to a handler of streams that reads once.
    """

    async def read(_: Any, context: Any) -> Any:
        try:
            async with asyncio.timeout(bounds.BODY_SECONDS):
                data = await context.read()
        except TimeoutError:
            late = QueryError(f"The message did not come within {bounds.BODY_SECONDS:g} seconds.", code="timeout")
            return await refuse(context, late)
        if data is grpc.aio.EOF:
            return await refuse(context, QueryError("There is no message.", code="not_protobuf"))
        return await call(data, context)

    return read
