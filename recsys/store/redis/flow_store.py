"""The Redis store for the Prefect flows (jobs) `batch`, `refresh` and `drain`: users, events, lists and impressions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast
from uuid import uuid4

from recsys.store.key_names import (
    DELETED_USERS,
    EVENT_LOG,
    IMPRESSIONS,
    STORE_ID,
    TRENDING,
    copy_key,
    counts_key,
    cursor_key,
    events_key,
    lists_key,
    similar_key,
    text_of,
    users_key,
    variants_key,
)
from recsys.store.redis.connection import sync_client, translated_errors
from recsys.store.redis.deletions.record_deletion import forget_record
from recsys.store.redis.scripts import WRITE_LISTS
from recsys.store.redis.store_address import address
from recsys.store.redis.stored_events import parse_event, parse_events
from recsys.store.stored_types import (
    EVENTS_EXPIRE,
    IMPRESSION_LIMITS,
    LISTS_EXPIRE,
    TRENDING_EXPIRE,
    Cursor,
    DeletedUser,
    LoggedEvent,
    LoggedImpression,
    Trending,
    user_bucket,
    users_by_bucket,
)
from recsys.types import Event, is_load_test

_CONNECT_SECONDS, _REPLY_SECONDS = 2.0, 10.0
_KEYS_PER_SCAN = 1_000
_DELETED_AT_ONCE = 10_000


class RedisFlowStore:
    """Users' records, events and lists, the log of events, and the impressions; SettingsError for a malformed `url`."""

    def __init__(self, url: str, events_age: float = EVENTS_EXPIRE) -> None:
        """events_age: seconds after which an event is no longer part of a user's history."""
        self.address = address(url)
        self._events_age = events_age
        self._redis = sync_client(url, _CONNECT_SECONDS, _REPLY_SECONDS)

    def now(self) -> float:
        """Return the unix seconds of the store's clock, which names the entries of the streams."""
        with translated_errors(self.address):
            now: Any = self._redis.time()
        return float(now[0] + now[1] / 1e6)

    def read_bucket(self, generation: str, bucket: int) -> dict[str, bytes]:
        """Return the packed records of one hash of users, in the order of their ids: the store's own order changes."""
        with translated_errors(self.address):
            found: Any = self._redis.hgetall(users_key(generation, bucket))
        return {user.decode("utf-8", "surrogatepass"): record for user, record in sorted(found.items()) if user}

    def read_user_ids(self, generation: str, bucket: int) -> list[str]:
        """Return the users of one hash of records."""
        with translated_errors(self.address):
            found: Any = self._redis.hkeys(users_key(generation, bucket))
        return [user.decode("utf-8", "surrogatepass") for user in found if user]

    def read_events(self, users: Sequence[str]) -> list[list[Event]]:
        """Return each user's stored events, oldest first."""
        with translated_errors(self.address), self._redis.pipeline(transaction=False) as pipe:
            for user in users:
                pipe.lrange(events_key(user), 0, -1)
            found = pipe.execute(raise_on_error=False)
        oldest = time.time() - self._events_age
        # A key of another type is an empty history, as in serving.
        histories = [parse_events(texts if isinstance(texts, list) else None) for texts in found]
        return [[event for event in events if event.timestamp >= oldest] for events in histories]

    def read_lists(self, generation: str, buckets: int, users: Sequence[str]) -> list[bytes | None]:
        """Return the packed list of the control of each user, None for a user without one."""
        with translated_errors(self.address), self._redis.pipeline(transaction=False) as pipe:
            for user in users:
                pipe.hget(lists_key(generation, user_bucket(user, buckets)), cast(str, text_of(user)))
            found: list[bytes | None] = pipe.execute()
        return found

    def write_lists(self, generation: str, buckets: int, lists: Mapping[str, bytes], variant: str = "") -> None:
        """Write users' packed lists; they expire LISTS_EXPIRE after the last write.

        variant: of an arm of an experiment whose lists differ; without one, the lists of all users.

        A user without a record in that generation and without events was deleted meanwhile, and gets no list.
        """
        with translated_errors(self.address), self._redis.pipeline(transaction=False) as pipe:
            if variant:  # before the lists, so that every list can be found and deleted
                pipe.sadd(variants_key(generation), variant)
                pipe.expire(variants_key(generation), LISTS_EXPIRE)
            for bucket, users in users_by_bucket(lists, buckets).items():
                head: list[Any] = [lists_key(generation, bucket, variant), users_key(generation, bucket)]
                keys = [*head, *map(events_key, users)]
                values: list[Any] = [value for user in users for value in (text_of(user), lists[user])]
                pipe.eval(WRITE_LISTS, len(keys), *keys, LISTS_EXPIRE, *values)
            pipe.execute()

    def write_similar(self, generation: str, lists: Mapping[int, bytes]) -> None:
        """Write the packed lists of similar items, by the item's row; they expire LISTS_EXPIRE after the last write."""
        hashes: dict[str, dict[Any, Any]] = {}
        for row, packed in lists.items():
            hashes.setdefault(similar_key(generation, row), {})[str(row)] = packed
        with translated_errors(self.address), self._redis.pipeline(transaction=True) as pipe:
            for key, of_hash in hashes.items():
                pipe.hset(key, mapping=of_hash)
                pipe.expire(key, LISTS_EXPIRE)
            pipe.execute()

    def read_log(self, after: str = "", count: int = 1_000) -> list[LoggedEvent]:
        """Return logged events of all users after an entry, oldest first; without an entry, from the first on."""
        return [
            LoggedEvent(entry, event, int(fields[b"n"]))
            for entry, fields in self._entries_after(EVENT_LOG, after, count)
            if (event := parse_event(fields.get(b"e"))) is not None
        ]

    def read_cursor(self, generation: str) -> Cursor | None:
        """Return the last event that was read for a generation; None if none was."""
        with translated_errors(self.address):
            found: Any = self._redis.hmget(cursor_key(generation), "entry", "number")
        return None if None in found else Cursor(found[0].decode(), int(found[1]))

    def write_cursor(self, generation: str, cursor: Cursor) -> None:
        """Replace the cursor of a generation. It is deleted with the generation."""
        with translated_errors(self.address):
            self._redis.hset(cursor_key(generation), mapping={"entry": cursor.entry, "number": cursor.number})

    def active_users(self) -> list[str]:
        """Return all users with stored events, in the order of their ids, without load-test users."""
        before, after = events_key("*").split(b"*")
        with translated_errors(self.address):
            keys = set(self._redis.scan_iter(events_key("*"), count=_KEYS_PER_SCAN))
        users = [key.removeprefix(before).removesuffix(after).decode("utf-8", "surrogatepass") for key in keys]
        return sorted(user for user in users if not is_load_test(user))

    def write_trending(self, trending: Trending) -> None:
        """Replace the trending items."""
        with translated_errors(self.address):
            self._redis.set(TRENDING, json.dumps(asdict(trending)), ex=TRENDING_EXPIRE)

    def read_impressions(self, after: str = "", count: int = 1_000) -> list[LoggedImpression]:
        """Return impressions after an entry, oldest first."""
        return [
            LoggedImpression(entry, str(fields.get(b"u", b""), "utf-8", "surrogatepass"), fields.get(b"d", b""))
            for entry, fields in self._entries_after(IMPRESSIONS, after, count)
        ]

    def drop_impressions(self, entries: Sequence[str]) -> None:
        """Delete impressions that are stored elsewhere."""
        if entries:
            with translated_errors(self.address), self._redis.pipeline(transaction=True) as pipe:
                pipe.xdel(IMPRESSIONS, *entries)
                # A deletion of a user may be copying the stream: the copy would bring the entries back.
                pipe.xdel(copy_key(IMPRESSIONS), *entries)
                pipe.execute()

    def read_deleted_users(self) -> list[DeletedUser]:
        """Return the users who were deleted in the last 31 days, oldest first."""
        found: list[DeletedUser] = []
        while some := self._entries_after(DELETED_USERS, found[-1].entry if found else "", _DELETED_AT_ONCE):
            found += [
                DeletedUser(entry, fields[b"u"], int(entry.partition("-")[0]) / 1000, b"m" in fields)
                for entry, fields in some
            ]
        return found

    def note_deleted(self, digests: Iterable[bytes]) -> None:
        """Note that users were deleted now, by the digests of their ids. The store itself keeps what it has of them."""
        with translated_errors(self.address), self._redis.pipeline(transaction=False) as pipe:
            for digest in digests:
                pipe.xadd(DELETED_USERS, {"u": digest})
            pipe.execute()

    def read_id(self) -> str:
        """Return the random id of this store, which the first call writes. A backup and a replica have the same id."""
        with translated_errors(self.address):
            self._redis.set(STORE_ID, uuid4().hex, nx=True)
            found: Any = self._redis.get(STORE_ID)
        return str(found.decode())

    def drop_old_deletions(self) -> None:
        """Delete the digests of users who were deleted more than 31 days ago."""
        oldest = int(1_000 * (self.now() - IMPRESSION_LIMITS.seconds))
        with translated_errors(self.address):
            old: Any = self._redis.xrange(DELETED_USERS, "-", oldest)
            if old:
                self._redis.xdel(DELETED_USERS, *(name for name, _ in old))

    def forget_records(self, generation: str, buckets: int, users: Sequence[str]) -> None:
        """Delete users' records of one generation."""
        with translated_errors(self.address), self._redis.pipeline(transaction=False) as pipe:
            for user in users:
                forget_record(pipe, generation, buckets, user)
            pipe.execute()

    def lost_impressions(self) -> int:
        """Return how many impressions were removed before `flows drain` read them, since `report_lost`."""
        with translated_errors(self.address):
            found: Any = self._redis.hmget(counts_key(IMPRESSIONS), "expired", "evicted", "reported")
        expired, evicted, reported = (int(count or 0) for count in found)
        return expired + evicted - reported

    def report_lost(self, impressions: int) -> None:
        """Count lost impressions as reported."""
        with translated_errors(self.address):
            self._redis.hincrby(counts_key(IMPRESSIONS), "reported", impressions)

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def _entries_after(self, stream: str, after: str, count: int) -> list[tuple[str, dict[bytes, bytes]]]:
        with translated_errors(self.address):
            found: Any = self._redis.xrange(stream, f"({after}" if after else "-", "+", count=count)
        return [(entry.decode(), fields or {}) for entry, fields in found]
