"""The Redis store for users: their records, events and lists, read for many users in one round trip."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Container, Sequence
from typing import Any

from recsys.store.key_names import (
    DELETED_USERS,
    EVENT_LOG,
    IMPRESSIONS,
    TRENDING,
    call_key,
    counts_key,
    event_ids_key,
    events_key,
    lists_key,
    similar_key,
    text_of,
    users_key,
)
from recsys.store.redis.connection import Command, async_client, own_values, round_trip, translated_errors
from recsys.store.redis.deletions.record_deletion import forget_user_in_generations
from recsys.store.redis.deletions.stream_deletion import StreamDeletion
from recsys.store.redis.event_counters import count_values
from recsys.store.redis.scripts import ADD_EVENTS, ADD_IMPRESSIONS, LIMIT_STREAM, MERGE_USERS
from recsys.store.redis.store_address import address
from recsys.store.redis.stored_events import event_prefixes, event_text, parse_events, parse_trending, text_without_user
from recsys.store.stored_types import (
    EVENT_IDS_EXPIRE,
    EVENT_IDS_KEPT,
    EVENTS_EXPIRE,
    EVENTS_KEPT,
    HOURS_EXPIRE,
    IMPRESSION,
    IMPRESSION_LIMITS,
    LOAD_TEST_EXPIRE,
    LOG_LIMITS,
    MINUTES_EXPIRE,
    SAMPLED_HASHES,
    LostEntries,
    StreamLimits,
    Trending,
    UserMerge,
    UserState,
    names_after,
    user_bucket,
)
from recsys.types import Event, Id, is_load_test
from recsys.user_digest import digest_of

_CLOCKS_DIFFER = 60.0
"""Seconds by which the clocks of a gateway and the store may differ."""

_HOT_SECONDS = 1.0
"""The limit of a read on the hot path, and of a connect and a reply elsewhere: longer than any deadline of a query."""


class RedisUserStore:
    """Users' records, events and lists, for one event loop; SettingsError for a malformed `url`."""

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
        self._redis = async_client(url, _HOT_SECONDS, reply_seconds=_HOT_SECONDS)
        # Reads have connections of their own, which writes can't use up, and the limit of `round_trip`.
        self._reads = async_client(url, _HOT_SECONDS, reply_seconds=None)
        self._log = StreamDeletion(self._redis, EVENT_LOG, whole=False)
        self._impressions = StreamDeletion(self._redis, IMPRESSIONS, whole=True)

    async def read_users(
        self, generation: str, buckets: int, users: Sequence[Id], variant: str = ""
    ) -> list[UserState]:
        """Return the state of each user, read in one round trip; events oldest first.

        variant: of the lists of an arm of an experiment; without one, the lists of all users.
        """
        if not users:
            return []
        with translated_errors(self.address):
            commands = [command for user in users for command in _read_commands(generation, buckets, user, variant)]
            replies = own_values(await round_trip(self._reads, commands, _HOT_SECONDS))
        states = zip(replies[::4], replies[1::4], replies[2::4], replies[3::4], strict=True)
        oldest = time.time() - self._events_age
        return [
            UserState(record, [event for event in parse_events(raw) if event.timestamp >= oldest], not there, listed)
            for record, there, raw, listed in states
        ]

    async def sample_users(self, generation: str, buckets: int) -> list[str]:
        """Return ids, as text, of users with a record in a generation: those of its first SAMPLED_HASHES hashes."""
        hashes = [users_key(generation, bucket).encode() for bucket in range(min(buckets, SAMPLED_HASHES))]
        with translated_errors(self.address):
            replies = own_values(await round_trip(self._reads, [(b"HKEYS", each) for each in hashes], _HOT_SECONDS))
        # An id that is no UTF-8 can't be in JSON; its replacement is no user.
        return [str(name, "utf-8", "replace") for names in replies for name in names if name]

    async def add_events(self, events: Sequence[Event], dataset: str = "", uncounted: Container[str] = ()) -> int:
        """Add events to the log, their users' histories and the counts of items, in one round trip.

        Returns how many were new. dataset: of the generation in force, which the log keeps; empty if there is none.
        uncounted: event types that no count has. An event whose id is among the user's last EVENT_IDS_KEPT ids is not
        new. Events of a load-test user enter that user's history only, for LOAD_TEST_EXPIRE seconds.
        """
        if not events:
            return 0
        now = time.time()
        by_user: dict[bytes, list[Event]] = defaultdict(list)
        for event in events:
            by_user[text_of(event.user_id)].append(event)
        oldest = now - self._events_age
        with translated_errors(self.address):
            async with self._redis.pipeline(transaction=False) as pipe:
                for of_user in by_user.values():
                    user = of_user[0].user_id
                    keys = events_key(user), event_ids_key(user), EVENT_LOG, counts_key(EVENT_LOG), call_key(EVENT_LOG)
                    limits = *self._history_limits(user, now), dataset, MINUTES_EXPIRE, HOURS_EXPIRE
                    values = [part for event in of_user for part in _script_values(event, oldest, now, uncounted)]
                    pipe.eval(ADD_EVENTS, len(keys), *keys, *limits, *values)
                _limit(pipe, EVENT_LOG, self._log_limits)
                return sum((await pipe.execute())[:-1])

    def _history_limits(self, user: Id, now: float) -> tuple[int | float, ...]:
        """The first seven values of the scripts that write a user's events; now: unix seconds."""
        expire, times = int(min(self._events_age, EVENTS_EXPIRE)), (int(1000 * now), now - self._events_age)
        if is_load_test(user):
            return EVENTS_KEPT, min(expire, LOAD_TEST_EXPIRE), EVENT_IDS_KEPT, LOAD_TEST_EXPIRE, 0, *times
        return EVENTS_KEPT, expire, EVENT_IDS_KEPT, EVENT_IDS_EXPIRE, 1, *times

    async def read_trending(self) -> Trending | None:
        """Return the trending items, None if there are none or they can't be read."""
        with translated_errors(self.address):
            (text,) = own_values(await round_trip(self._reads, [(b"GET", TRENDING.encode())], _HOT_SECONDS))
        return parse_trending(text) if text else None

    async def read_similar(self, generation: str, row: int) -> bytes | None:
        """Return the packed list of the items similar to the item at a row, None if there is none."""
        command = b"HGET", similar_key(generation, row).encode(), str(row).encode()
        with translated_errors(self.address):
            (packed,) = own_values(await round_trip(self._reads, [command], _HOT_SECONDS))
        return packed  # type: ignore[no-any-return]  # redis-py's replies are Any

    async def add_impressions(self, impressions: Sequence[tuple[Id, bytes]]) -> None:
        """Append packed impressions with their users."""
        if not impressions:
            return
        values = [value for user, data in impressions for value in (text_of(user), data)]
        with translated_errors(self.address):
            async with self._redis.pipeline(transaction=False) as pipe:
                keys = IMPRESSIONS, counts_key(IMPRESSIONS), call_key(IMPRESSIONS)
                pipe.eval(ADD_IMPRESSIONS, len(keys), *keys, *values)
                _limit(pipe, IMPRESSIONS, self._impression_limits)
                await pipe.execute()

    async def read_lost(self) -> LostEntries:
        """Return how many entries the limits of the streams removed before a flow read them."""
        with translated_errors(self.address):
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hmget(counts_key(IMPRESSIONS), "expired", "evicted")
                pipe.hmget(counts_key(EVENT_LOG), "evicted")
                impressions, events = await pipe.execute()
        return LostEntries(sum(int(count or 0) for count in impressions), int(events[0] or 0))

    async def merge_user(self, user: Id, into: Id, more: Sequence[Event] = (), dataset: str = "") -> int:
        """Move a user's events to another user, add `more`, and delete the first user from all keys but the streams.

        Returns how many events the other user has. The events and their ids move in one step. Equal events become one,
        and the newest EVENTS_KEPT stay. Moved events are logged under the other user; the events of `more` are not.
        """
        now = time.time()
        oldest, prefix = now - self._events_age, f"[{json.dumps(into)},"
        own = events_key(user), event_ids_key(user)
        keys = *own, events_key(into), event_ids_key(into), EVENT_LOG, counts_key(EVENT_LOG)
        added = [text_without_user(event) for event in more if event.timestamp >= oldest]
        prefixes = [*event_prefixes(user), *event_prefixes(into)]
        with translated_errors(self.address):
            async with self._redis.pipeline(transaction=False) as pipe:
                values = *self._history_limits(into, now), dataset, prefix, len(prefixes), *prefixes, *added
                pipe.eval(MERGE_USERS, len(keys), *keys, *values)
                _limit(pipe, EVENT_LOG, self._log_limits)
                kept: int = (await pipe.execute())[0]
            await forget_user_in_generations(self._redis, user)
        return kept

    async def forget_user(self, user: Id) -> None:
        """Delete a user from every key."""
        keys = events_key(user), event_ids_key(user)
        with translated_errors(self.address):
            await self._redis.unlink(*keys)
            await forget_user_in_generations(self._redis, user)
        await self._forget_entries(user, keys)
        await self._note_deleted(user)

    async def merge_streams(self, merges: Sequence[UserMerge]) -> None:
        """Give the impressions of merged users to their logins, in one pass for all, and delete the users from the log.

        Files lose the merged users later. A login that was deleted since its merge gets no impressions.
        """
        names = names_after(merges)
        with translated_errors(self.address):
            await self._log.forget([prefix for merge in merges for prefix in event_prefixes(merge.user)])
            await self._impressions.rename({text_of(user): text_of(into) for user, into in names.items()})
        for merge in merges:
            await self._note_deleted(merge.user, merged=True)
        # After the copy: a deletion that is noted later deletes the impressions once more (`forget_impressions`).
        since = int(1_000 * (min(merge.at for merge in merges) - _CLOCKS_DIFFER))
        with translated_errors(self.address):
            noted: Any = await self._redis.xrange(DELETED_USERS, since)
            deleted = {fields[b"u"] for _, fields in noted if b"m" not in fields}
            if gone := [text_of(login) for login in names.values() if digest_of(login) in deleted]:
                await self._impressions.forget(gone)

    async def _forget_entries(self, user: Id, keys: Sequence[bytes]) -> None:
        """Delete a user from the streams. keys: deleted with the last entry of the log.

        They were deleted once before; an event that arrived since is in them and is about to be deleted from the log.
        """
        try:
            with translated_errors(self.address):
                await self._log.forget(event_prefixes(user), keys)
        finally:  # in a full store the log can't be copied, and both streams are only marked
            with translated_errors(self.address):
                await self._impressions.forget([text_of(user)])

    async def forget_impressions(self, user: Id) -> None:
        """Delete a user's impressions only, from the store now, and from files with the next `flows drain`."""
        with translated_errors(self.address):
            await self._impressions.forget([text_of(user)])
        await self._note_deleted(user)

    async def _note_deleted(self, user: Id, *, merged: bool = False) -> None:
        """Note that files may have the user. After the stream: a drain may be writing what it read from there."""
        oldest = int(1_000 * (time.time() - self._impression_limits.seconds))
        with translated_errors(self.address):
            fields: Any = {"u": digest_of(user)} | ({"m": 1} if merged else {})
            await self._redis.xadd(DELETED_USERS, fields, minid=oldest)

    async def close(self) -> None:
        """Close all connections."""
        await self._log.close()
        await self._impressions.close()
        await self._reads.aclose()
        await self._redis.aclose()


def _limit(pipe: Any, stream: str, limits: StreamLimits) -> None:
    """Remove the entries of a stream beyond its limits, in the round trip that added entries."""
    pipe.eval(LIMIT_STREAM, 2, stream, counts_key(stream), limits.seconds, limits.bytes)


def _read_commands(generation: str, buckets: int, user: Id, variant: str) -> list[Command]:
    """Read the record, whether its hash exists, the events and the list."""
    name, bucket = text_of(user), user_bucket(user, buckets)
    records, lists = users_key(generation, bucket).encode(), lists_key(generation, bucket, variant).encode()
    return [
        (b"HGET", records, name),
        (b"EXISTS", records),
        (b"LRANGE", events_key(user), b"0", b"-1"),
        (b"HGET", lists, name),
    ]


def _script_values(event: Event, oldest: float, now: float, uncounted: Container[str]) -> Sequence[bytes | str]:
    """The values of an event in ADD_EVENTS: id, whether it is part of the history, JSON, and those of its counts."""
    history = event.event_type != IMPRESSION and event.timestamp >= oldest
    name = event.event_id.encode("utf-8", "surrogatepass")
    return name, str(int(history)), event_text(event), *count_values(event, now, uncounted)
