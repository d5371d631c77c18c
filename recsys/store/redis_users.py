"""The port of users' state over Redis: many users in one round trip."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff

from recsys.store.base import EVENTS_EXPIRE, EVENTS_KEPT, UserState, user_bucket
from recsys.store.connection import address, sentences
from recsys.store.keys import events_key, text_of, users_key
from recsys.types import Event, Id

_HOT_SECONDS = 1.0
"""Connect and answer on the hot path: far past any deadline of a query, soon enough to free what waits."""


class RedisUserStore:
    """Users' state in Redis, for the hot path; SettingsError if `url` is none. It belongs to one event loop."""

    def __init__(self, url: str) -> None:
        self.address = address(url)
        self._redis = redis.asyncio.Redis.from_url(
            url,
            socket_connect_timeout=_HOT_SECONDS,
            socket_timeout=_HOT_SECONDS,
            retry=AsyncRetry(NoBackoff(), 1, (redis.ConnectionError,)),
        )

    async def read_users(self, generation: str, buckets: int, users: Sequence[Id]) -> list[UserState]:
        if not users:
            return []
        with sentences(self.address):
            async with self._redis.pipeline(transaction=False) as pipe:
                for user in users:
                    records = users_key(generation, user_bucket(user, buckets))
                    pipe.hget(records, text_of(user))
                    pipe.exists(records)
                    pipe.lrange(events_key(user), 0, -1)
                replies = [_checked(reply) for reply in await pipe.execute(raise_on_error=False)]
        of_each = zip(replies[::3], replies[1::3], replies[2::3], strict=True)
        return [UserState(record, _parse(raw), not there) for record, there, raw in of_each]

    async def add_events(self, events: Sequence[Event]) -> None:
        if not events:
            return
        by_key: dict[bytes, list[str]] = defaultdict(list)
        for event in events:
            by_key[events_key(event.user_id)].append(json.dumps(event, separators=(",", ":")))
        with sentences(self.address):
            async with self._redis.pipeline(transaction=False) as pipe:
                for key, texts in by_key.items():
                    pipe.rpush(key, *texts[-EVENTS_KEPT:])
                    pipe.ltrim(key, -EVENTS_KEPT, -1)
                    pipe.expire(key, EVENTS_EXPIRE)
                await pipe.execute()

    async def close(self) -> None:
        await self._redis.aclose()


def _checked(reply: Any) -> Any:
    """A reply, None for a key that holds something not ours: one such key must not cost the other users theirs."""
    if isinstance(reply, redis.ResponseError) and str(reply).startswith("WRONGTYPE"):
        return None
    if isinstance(reply, Exception):
        raise reply
    return reply


def _parse(texts: Sequence[bytes] | None) -> list[Event]:
    """Stored events; what can't be read is left out."""
    if not texts:
        return []
    try:
        # One call for all: 0.14 ms for 200 events, where a call each takes 0.52.
        raws = json.loads(b"[" + b",".join(texts) + b"]")
    except (ValueError, RecursionError):
        raws = [_loads(text) for text in texts]
    return [event for raw in raws if (event := _event(raw))]


def _loads(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _event(raw: Any) -> Event | None:
    try:
        user, item, timestamp, event_type = raw
        readable = isinstance(user, Id) and isinstance(item, Id) and isinstance(event_type, str)
        return Event(user, item, float(timestamp), event_type) if readable and math.isfinite(timestamp) else None
    except (TypeError, ValueError, OverflowError):
        return None
