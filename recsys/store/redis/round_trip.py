"""Many commands in one round trip, with one time limit for all of them: the reads of the hot path."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import redis.asyncio

Command = tuple[bytes, ...]


async def round_trip(client: redis.asyncio.Redis, commands: Sequence[Command], seconds: float) -> list[Any]:
    """Return the reply to each command; the reply to a refused command is a redis.ResponseError in the list.

    client: has no `socket_timeout`. redis-py applies that limit to each reply; one limit for all replies is cheaper.
    seconds: the limit, in which connecting and the client's retries are included.

    Raises redis.RedisError where the store can't be reached, and TimeoutError after the limit. redis-py closes the
    connection of a late or cancelled call, so that no later call reads its replies.
    """
    async with asyncio.timeout(seconds), client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return await pipe.execute(raise_on_error=False)
