"""The port of users' state over Redis: many users in one round trip."""

from __future__ import annotations

import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff

from recsys.store.key_names import (
    EVENT_LOG,
    IMPRESSIONS,
    TRENDING,
    counts_key,
    events_key,
    lists_key,
    names_key,
    text_of,
    users_key,
)
from recsys.store.ports import (
    EVENTS_EXPIRE,
    EVENTS_KEPT,
    IMPRESSION,
    LOAD_TEST_EXPIRE,
    NAMES_EXPIRE,
    NAMES_KEPT,
    Trending,
    UserState,
    user_bucket,
)
from recsys.store.redis.connection import address, sentences, watched
from recsys.store.redis.round_trip import Command, round_trip
from recsys.store.redis.scripts import FORGET_FIELD
from recsys.store.redis.stream_deletion import StreamForgetter
from recsys.store.redis.stream_scripts import EVENTS, LIMIT, MERGE
from recsys.store.redis.stream_scripts import IMPRESSIONS as ADD_IMPRESSIONS
from recsys.store.streams import IMPRESSION_LIMITS, LOG_LIMITS, LostEntries, StreamLimits
from recsys.types import Event, Id, is_load_test

_NUMBER = re.compile(r"-?[0-9]+")

_NOBODY = '["",'
"""The beginning of the JSON of an event without a user."""

_WITHOUT_CONTEXT = 4
"""Parts of a stored event that has no context: user, item, time and type."""

_SCANNED_AT_ONCE = 1_000
_HASHES_AT_ONCE = 500
"""Hashes of users that one round trip forgets somebody in."""

_HOT_SECONDS = 1.0
"""The limit of a read on the hot path, and of a connect and a reply elsewhere: longer than any deadline of a query."""

_CONNECTIONS = 64
"""Of a client, at most; further calls wait for one. redis-py's other pool fails each call beyond its limit."""


class RedisUserStore:
    """Users' state in Redis, for the hot path; SettingsError if `url` is none. It belongs to one event loop."""

    def __init__(
        self,
        url: str,
        events_age: float = EVENTS_EXPIRE,
        log: StreamLimits = LOG_LIMITS,
        impressions: StreamLimits = IMPRESSION_LIMITS,
    ) -> None:
        """events_age: seconds after which an event is no longer part of a user's history."""
        self.address = address(url)
        self._events_age = events_age
        self._log_limits, self._impression_limits = log, impressions
        self._redis = _client(url, reply_seconds=_HOT_SECONDS)
        # The limit of `round_trip` replaces one for each reply. Writes can't take the connections of reads.
        self._reads = _client(url, reply_seconds=None)
        self._log = StreamForgetter(self._redis, EVENT_LOG, whole=False)
        self._impressions = StreamForgetter(self._redis, IMPRESSIONS, whole=True)

    async def read_users(self, generation: str, buckets: int, users: Sequence[Id]) -> list[UserState]:
        if not users:
            return []
        with sentences(self.address):
            commands = [command for user in users for command in _read_user(generation, buckets, user)]
            replies = _checked(await round_trip(self._reads, commands, _HOT_SECONDS))
        of_each = zip(replies[::4], replies[1::4], replies[2::4], replies[3::4], strict=True)
        oldest = time.time() - self._events_age
        return [
            UserState(record, [event for event in parse_events(raw) if event.timestamp >= oldest], not there, listed)
            for record, there, raw, listed in of_each
        ]

    async def add_events(self, events: Sequence[Event]) -> int:
        if not events:
            return 0
        now = time.time()
        by_user: dict[bytes, list[Event]] = defaultdict(list)
        for event in events:
            by_user[text_of(event.user_id)].append(event)
        oldest = now - self._events_age
        with sentences(self.address):
            async with self._redis.pipeline(transaction=False) as pipe:
                for told in by_user.values():
                    user = told[0].user_id
                    keys = events_key(user), names_key(user), EVENT_LOG, counts_key(EVENT_LOG)
                    values = [value for event in told for value in _values(event, oldest)]
                    pipe.eval(EVENTS, len(keys), *keys, *self._limits(user, now), *values)
                _limit(pipe, EVENT_LOG, self._log_limits)
                return sum((await pipe.execute())[:-1])

    def _limits(self, user: Id, now: float) -> tuple[int | float, ...]:
        """What the scripts take that write events of a user; now: unix seconds."""
        expire, moment = int(min(self._events_age, EVENTS_EXPIRE)), (int(1000 * now), now - self._events_age)
        if is_load_test(user):
            return EVENTS_KEPT, min(expire, LOAD_TEST_EXPIRE), NAMES_KEPT, LOAD_TEST_EXPIRE, 0, *moment
        return EVENTS_KEPT, expire, NAMES_KEPT, NAMES_EXPIRE, 1, *moment

    async def read_trending(self) -> Trending | None:
        with sentences(self.address):
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.get(TRENDING)
                (text,) = _checked(await pipe.execute(raise_on_error=False))
        return parse_trending(text) if text else None

    async def add_impressions(self, impressions: Sequence[tuple[Id, bytes]]) -> None:
        if not impressions:
            return
        values = [value for user, data in impressions for value in (text_of(user), data)]
        with sentences(self.address):
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.eval(ADD_IMPRESSIONS, 2, IMPRESSIONS, counts_key(IMPRESSIONS), *values)
                _limit(pipe, IMPRESSIONS, self._impression_limits)
                await pipe.execute()

    async def read_lost(self) -> LostEntries:
        with sentences(self.address):
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hmget(counts_key(IMPRESSIONS), "expired", "evicted")
                pipe.hmget(counts_key(EVENT_LOG), "evicted")
                impressions, events = await pipe.execute()
        return LostEntries(sum(int(count or 0) for count in impressions), int(events[0] or 0))

    async def merge_user(self, user: Id, into: Id, more: Sequence[Event] = ()) -> int:
        now = time.time()
        oldest, begin = now - self._events_age, f"[{json.dumps(into)},"
        keys = events_key(user), names_key(user), events_key(into), names_key(into), EVENT_LOG, counts_key(EVENT_LOG)
        added = [_text(event._replace(user_id="")).removeprefix(_NOBODY) for event in more if event.timestamp >= oldest]
        beginnings = [*_beginnings(user), *_beginnings(into)]
        with sentences(self.address):
            async with self._redis.pipeline(transaction=False) as pipe:
                values = *self._limits(into, now), begin, len(beginnings), *beginnings, *added
                pipe.eval(MERGE, len(keys), *keys, *values)
                _limit(pipe, EVENT_LOG, self._log_limits)
                kept: int = (await pipe.execute())[0]
        with sentences(self.address):
            await self._forget_fields(user)
        return kept

    async def forget_user(self, user: Id) -> None:
        keys = events_key(user), names_key(user)
        with sentences(self.address):
            await self._redis.unlink(*keys)
            await self._forget_fields(user)
        await self._forget_entries([user], keys)

    async def forget_streams(self, users: Sequence[Id]) -> None:
        await self._forget_entries(users)

    async def _forget_fields(self, user: Id) -> None:
        """Remove a user from the hashes of all generations."""
        # By name and not by manifest: a generation that was begun and never finished holds records too.
        names = [key.split(b":") async for key in self._redis.scan_iter("gen:*", count=_SCANNED_AT_ONCE)]
        records = {tuple(name) for name in names if name[-2] == b"users"}
        lists = {tuple(name) for name in names if name[-2] == b"lists"}
        # Lists last, those too that began meanwhile: a flow writes one only of whom something is known.
        lists |= {(*name[:-2], b"lists", name[-1]) for name in records}
        hashes = iter([*records, *lists])
        while some := list(islice(hashes, _HASHES_AT_ONCE)):
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in some:
                    pipe.eval(FORGET_FIELD, 1, b":".join(name), text_of(user))
                await pipe.execute()

    async def _forget_entries(self, users: Sequence[Id], keys: Sequence[bytes] = ()) -> None:
        """Remove users from the streams; keys: what goes with the last entry of the log."""
        try:
            with sentences(self.address):
                # Once more: an event that came since is in the user's keys and about to go from the log.
                await self._log.forget([beginning for user in users for beginning in _beginnings(user)], keys)
        finally:  # in a full store the log is marked and not copied; so are these
            with sentences(self.address):
                await self._impressions.forget([*map(text_of, users)])

    async def forget_impressions(self, user: Id) -> None:
        with sentences(self.address):
            await self._impressions.forget([text_of(user)])

    async def close(self) -> None:
        await self._log.close()
        await self._impressions.close()
        await self._reads.aclose()
        await self._redis.aclose()


def _limit(pipe: Any, stream: str, limits: StreamLimits) -> None:
    """Remove what a stream may not keep, in the same round trip as what was added."""
    pipe.eval(LIMIT, 2, stream, counts_key(stream), limits.seconds, limits.bytes)


def _client(url: str, reply_seconds: float | None) -> redis.asyncio.Redis:
    """A client that retries once on a new connection; reply_seconds: the limit of each reply."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=_HOT_SECONDS,
        socket_connect_timeout=_HOT_SECONDS,
        socket_timeout=reply_seconds,
        **watched(url),
        retry=AsyncRetry(NoBackoff(), 1, (redis.ConnectionError,)),
    )
    return redis.asyncio.Redis.from_pool(pool)


def _read_user(generation: str, buckets: int, user: Id) -> list[Command]:
    """Record, whether its hash is there at all, events and list."""
    name, bucket = text_of(user), user_bucket(user, buckets)
    records, lists = users_key(generation, bucket).encode(), lists_key(generation, bucket).encode()
    return [
        (b"HGET", records, name),
        (b"EXISTS", records),
        (b"LRANGE", events_key(user), b"0", b"-1"),
        (b"HGET", lists, name),
    ]


def _checked(replies: Sequence[Any]) -> list[Any]:
    """Replies, None for a key that holds something not ours: one such key must not cost the other users theirs."""
    for reply in replies:
        if isinstance(reply, Exception) and not str(reply).startswith("WRONGTYPE"):
            raise reply
    return [None if isinstance(reply, Exception) else reply for reply in replies]


def parse_events(texts: Sequence[bytes] | None) -> list[Event]:
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
        user, item, timestamp, event_type = raw[:4]
        readable = isinstance(user, Id) and isinstance(item, Id) and isinstance(event_type, str)
        if not readable or not math.isfinite(timestamp):
            return None
        if len(raw) == _WITHOUT_CONTEXT:
            return Event(user, item, float(timestamp), event_type)
        return Event(user, item, float(timestamp), event_type, context=_context(raw[4]))
    except (TypeError, ValueError, OverflowError):
        return None


def _context(raw: Any) -> dict[str, str]:
    """An event's context; empty for what is none."""
    return raw if isinstance(raw, dict) and all(isinstance(value, str) for value in raw.values()) else {}


def parse_trending(text: bytes) -> Trending | None:
    """What is trending as it is stored; None for what can't be read."""
    try:
        raw = json.loads(text)
        told = Trending(float(raw["made_at"]), tuple((item, float(weight)) for item, weight in raw["items"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    readable = all(isinstance(item, Id) and math.isfinite(weight) for item, weight in told.items)
    return told if readable and math.isfinite(told.made_at) else None


def _values(event: Event, oldest: float) -> tuple[bytes, str, str]:
    """What the script is given of an event; its id is kept once, apart from it."""
    history = event.event_type != IMPRESSION and event.timestamp >= oldest
    name = event.event_id.encode("utf-8", "surrogatepass")
    return name, str(int(history)), _text(event)


def _text(event: Event) -> str:
    """An event as it is stored: its context is there only where it has one."""
    told = [*event[:_WITHOUT_CONTEXT], dict(event.context)] if event.context else event[:_WITHOUT_CONTEXT]
    return json.dumps(told, separators=(",", ":"))


def parse_event(text: bytes | None) -> Event | None:
    """A stored event; None for what can't be read."""
    return _event(_loads(text)) if text else None


def _beginnings(user: Id) -> list[bytes]:
    """What the JSON of a user's events begins with: the id as text and, where it can be one, as a number."""
    text = str(user)
    ids = [json.dumps(text), text] if _NUMBER.fullmatch(text) else [json.dumps(text)]
    return [f"[{each},".encode() for each in ids]
