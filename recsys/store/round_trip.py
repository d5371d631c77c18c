"""One round trip of many commands over redis-py's own connections, for the hot path.

A pipeline of redis-py guards, times and reports each reply by itself: of four short replies that takes as long as all
else for one user, and twice as long for sixteen. Connecting, authentication, TLS, the pool and its retries stay
redis-py's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio

Command = tuple[bytes, ...]


def packed(commands: Sequence[Command]) -> bytes:
    """Commands as they go over the wire. RESP: an array of bulk strings each."""
    return b"".join(
        b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))
        for parts in commands
    )


async def round_trip(client: redis.asyncio.Redis, commands: Sequence[Command], seconds: float) -> list[Any]:
    """The reply to each command; one that is refused is an error among them.

    redis.RedisError where there is no answer within so many seconds, or no connection. A connection whose reply nobody
    waits for any more is closed by redis-py: whoever comes next must not get it.
    """
    pool, data = client.connection_pool, packed(commands)
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py has no hint for it

    async def ask() -> list[Any]:
        try:
            async with asyncio.timeout(seconds):
                await connection.send_packed_command(data, check_health=False)
                return [await _reply(connection) for _ in commands]
        except TimeoutError:
            raise redis.TimeoutError(f"no answer within {seconds:g} seconds") from None

    try:
        return await connection.retry.call_with_retry(ask, lambda _: connection.disconnect())  # type: ignore[no-any-return]
    finally:
        await pool.release(connection)


async def _reply(connection: redis.asyncio.Connection) -> Any:
    try:
        return await connection.read_response(timeout=math.inf)  # all of them have one time together
    except redis.ResponseError as error:
        return error
