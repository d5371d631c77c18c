"""The store in memory, for unit tests without Redis: trained models and tables, users, events, impressions."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from recsys.generation.manifest import Manifest
from recsys.store.memory.memory_generations import MemoryGenerations, hash_of
from recsys.store.memory.memory_streams import MemoryStream
from recsys.store.stored_types import (
    EVENT_IDS_KEPT,
    EVENTS_EXPIRE,
    EVENTS_KEPT,
    IMPRESSION,
    IMPRESSION_LIMITS,
    LOG_LIMITS,
    Cursor,
    LoggedEvent,
    LoggedImpression,
    LostEntries,
    StreamLimits,
    Trending,
    UserState,
    user_bucket,
)
from recsys.types import Event, Id, is_load_test


class MemoryStore(MemoryGenerations):
    """A `GenerationStore`, `UserStore` and `FlowStore` over dicts."""

    def __init__(
        self,
        events_age: float = EVENTS_EXPIRE,
        log: StreamLimits = LOG_LIMITS,
        impressions: StreamLimits = IMPRESSION_LIMITS,
    ) -> None:
        super().__init__()
        self._events_age = events_age
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._event_ids: dict[str, list[str]] = defaultdict(list)
        self._log = MemoryStream[Event](log)
        self._impressions = MemoryStream[bytes](impressions)
        self._reported = 0
        self._trending: Trending | None = None

    async def read_users(self, generation: str, buckets: int, users: Sequence[Id]) -> list[UserState]:
        stored = {user_bucket(user, buckets) for id_, user in self._records if id_ == generation}
        stored |= {user_hash % buckets for user_hash in self._forgotten[generation]}
        return [
            UserState(
                self._records.get((generation, str(user))),
                self._recent(str(user)),
                user_bucket(user, buckets) not in stored,
                self._lists.get((generation, str(user))),
            )
            for user in users
        ]

    def _recent(self, user: str) -> list[Event]:
        oldest = time.time() - self._events_age
        return [event for event in self._events[user] if event.timestamp >= oldest]

    async def add_events(self, events: Sequence[Event]) -> int:
        new = 0
        for event in events:
            ids = self._event_ids[str(event.user_id)]
            if event.event_id in ids:
                continue
            if event.event_id:
                ids.append(event.event_id)
                del ids[:-EVENT_IDS_KEPT]
            new += 1
            stored = event._replace(event_id="")
            if not is_load_test(event.user_id):
                self._add_to_log(stored)
            if event.event_type != IMPRESSION:
                kept = self._events[str(event.user_id)]
                kept.append(stored)
                kept.sort(key=lambda event: event.timestamp)
                del kept[:-EVENTS_KEPT]
        return new

    def _add_to_log(self, event: Event) -> None:
        self._log.add(str(event.user_id), event, len(json.dumps([*event[:4], dict(event.context)])))

    async def read_trending(self) -> Trending | None:
        return self._trending

    async def add_impressions(self, impressions: Sequence[tuple[Id, bytes]]) -> None:
        for user, data in impressions:
            self._impressions.add(str(user), data, len(data))

    async def read_lost(self) -> LostEntries:
        return LostEntries(self._impressions.expired + self._impressions.evicted, self._log.evicted)

    async def forget_user(self, user: Id) -> None:
        self._forget_state(str(user))
        await self.forget_streams([user])

    def _forget_state(self, text: str) -> None:
        for generation, user in self._records:
            if user == text:
                self._forgotten[generation].add(hash_of(text))
        for by_generation in (self._records, self._lists):
            for key in [key for key in by_generation if key[1] == text]:
                del by_generation[key]
        self._events.pop(text, None)
        self._event_ids.pop(text, None)

    async def merge_user(self, user: Id, into: Id, more: Sequence[Event] = ()) -> int:
        kept = self._events[str(into)]
        present = {_without_user(event) for event in kept}
        for event in (*more, *self._events[str(user)]):
            if _without_user(event) not in present:
                present.add(_without_user(event))
                kept.append(event._replace(user_id=into, event_id=""))
                if event not in more and not is_load_test(into):
                    self._add_to_log(kept[-1])
        kept.sort(key=lambda event: event.timestamp)
        kept[:] = self._recent(str(into))[-EVENTS_KEPT:]
        ids = self._event_ids[str(into)]
        ids[:] = [*(name for name in self._event_ids[str(user)] if name not in ids), *ids][-EVENT_IDS_KEPT:]
        self._forget_state(str(user))
        return len(kept)

    async def forget_streams(self, users: Sequence[Id]) -> None:
        texts = {*map(str, users)}
        self._log.forget(texts)
        self._impressions.forget(texts)

    async def forget_impressions(self, user: Id) -> None:
        self._impressions.forget({str(user)})

    def now(self) -> float:
        return time.time()

    def read_bucket(self, generation: str, bucket: int) -> dict[str, bytes]:
        buckets = Manifest.from_json(self._manifests[generation], any_format=True).user_buckets
        return {
            user: record
            for (id_, user), record in self._records.items()
            if id_ == generation and user_bucket(user, buckets) == bucket
        }

    def read_events(self, users: Sequence[str]) -> list[list[Event]]:
        return [self._recent(user) for user in users]

    def write_lists(self, generation: str, buckets: int, lists: Mapping[str, bytes]) -> None:
        known = [user for user in lists if (generation, user) in self._records or self._events.get(user)]
        self._lists.update({(generation, user): lists[user] for user in known})

    def read_log(self, after: str = "", count: int = 1_000) -> list[LoggedEvent]:
        return [LoggedEvent(entry.name, entry.value, entry.number) for entry in self._log.after(after, count)]

    def read_cursor(self, generation: str) -> Cursor | None:
        return self._cursors.get(generation)

    def write_cursor(self, generation: str, cursor: Cursor) -> None:
        self._cursors[generation] = cursor

    def active_users(self) -> list[str]:
        return [user for user, events in self._events.items() if events and not is_load_test(user)]

    def write_trending(self, trending: Trending) -> None:
        self._trending = trending

    def read_impressions(self, after: str = "", count: int = 1_000) -> list[LoggedImpression]:
        found = self._impressions.after(after, count)
        return [LoggedImpression(entry.name, entry.value, entry.arrived) for entry in found]

    def drop_impressions(self, entries: Sequence[str]) -> None:
        self._impressions.drop(set(entries))

    def lost_impressions(self) -> int:
        return self._impressions.expired + self._impressions.evicted - self._reported

    def report_lost(self, impressions: int) -> None:
        self._reported += impressions

    async def close(self) -> None:
        """There is no connection to close."""


def _without_user(event: Event) -> str:
    """An event without its user, as text: the ids 7 and "7" differ, as in Redis."""
    return json.dumps([*event[1:4], dict(event.context)], sort_keys=True)
