"""The store in dicts, for unit tests without Redis: models, users, events, impressions, and announcements of processes.

It has the methods of the classes in recsys/store/redis, and passes the contract tests that use the fixture `store`.
Nothing expires here, and the streams have no limits.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace

from recsys.store.memory.memory_generations import MemoryGenerations
from recsys.store.process_registry import Announcement
from recsys.store.stored_types import (
    EVENT_IDS_KEPT,
    EVENTS_KEPT,
    IMPRESSION,
    SAMPLED_HASHES,
    Cursor,
    DeletedUser,
    LoggedEvent,
    LoggedImpression,
    LostEntries,
    Trending,
    UserMerge,
    UserState,
    names_after,
    place_of,
    user_bucket,
)
from recsys.types import Event, Id, is_load_test
from recsys.user_digest import digest_of


class MemoryStore(MemoryGenerations):
    """All that `RedisGenerationStore`, `RedisUserStore` and `RedisFlowStore` hold."""

    def __init__(self) -> None:
        super().__init__()
        self._events: dict[str, list[Event]] = {}
        self._event_ids: dict[str, list[str]] = {}
        self._log: list[LoggedEvent] = []
        self._impressions: list[LoggedImpression] = []
        self._deleted_users: list[DeletedUser] = []
        self._entries = self._logged = 0
        self._trending: Trending | None = None

    async def read_users(
        self, generation: str, buckets: int, users: Sequence[Id], variant: str = ""
    ) -> list[UserState]:
        states = []
        for user in map(str, users):
            records = self.records.get((generation, user_bucket(user, buckets)))
            listed = self._lists.get((generation, user, variant))
            states.append(UserState((records or {}).get(user), [*self._events.get(user, [])], records is None, listed))
        return states

    async def sample_users(self, generation: str, buckets: int) -> list[str]:
        sampled = [self.records.get((generation, bucket), {}) for bucket in range(min(buckets, SAMPLED_HASHES))]
        return [user for records in sampled for user in records if user]

    async def add_events(self, events: Sequence[Event], dataset: str = "", uncounted: Container[str] = ()) -> int:
        new = 0
        for event in events:
            ids = self._event_ids.setdefault(str(event.user_id), [])
            if event.event_id in ids:
                continue
            if event.event_id:
                ids.append(event.event_id)
                del ids[:-EVENT_IDS_KEPT]
            new += 1
            self._add_to_log(event._replace(event_id=""))
            if event.event_type != IMPRESSION:
                self._keep(event.user_id, [event._replace(event_id="")])
        return new

    def _keep(self, user: Id, events: Sequence[Event]) -> int:
        """Add events to a user's history, and return how many events the history has."""
        kept = sorted([*self._events.get(str(user), []), *events], key=lambda event: event.timestamp)[-EVENTS_KEPT:]
        self._events[str(user)] = kept
        return len(kept)

    def _add_to_log(self, event: Event) -> None:
        if not is_load_test(event.user_id):
            self._logged += 1
            self._log.append(LoggedEvent(self._entry(), event, self._logged))

    def _entry(self) -> str:
        self._entries += 1
        return f"{int(1000 * time.time())}-{self._entries}"

    async def read_trending(self) -> Trending | None:
        return self._trending

    async def read_similar(self, generation: str, row: int) -> bytes | None:
        return self._similar.get((generation, row))

    async def add_impressions(self, impressions: Sequence[tuple[Id, bytes]]) -> None:
        for user, data in impressions:
            self._impressions.append(LoggedImpression(self._entry(), str(user), data))

    async def read_lost(self) -> LostEntries:
        return LostEntries(0, 0)

    async def forget_user(self, user: Id) -> None:
        self._forget_state(str(user))
        self._forget_events([user])
        await self.forget_impressions(user)

    def _forget_state(self, user: str) -> None:
        for forgotten in self._forgotten.values():
            forgotten.add(user)
        for records in self.records.values():
            if user in records:
                records[user] = None
        self._lists = {key: listed for key, listed in self._lists.items() if key[1] != user}
        self._events.pop(user, None)
        self._event_ids.pop(user, None)

    async def merge_user(self, user: Id, into: Id, more: Sequence[Event] = (), dataset: str = "") -> int:
        present = {_without_user(event) for event in self._events.get(str(into), [])}
        moved = []
        for event in (*more, *self._events.get(str(user), [])):
            if _without_user(event) not in present:
                present.add(_without_user(event))
                moved.append(event._replace(user_id=into, event_id=""))
                if event not in more:
                    self._add_to_log(moved[-1])
        ids, theirs = self._event_ids.get(str(into), []), self._event_ids.get(str(user), [])
        self._event_ids[str(into)] = [*(name for name in theirs if name not in ids), *ids][-EVENT_IDS_KEPT:]
        self._forget_state(str(user))
        return self._keep(into, moved)

    async def merge_streams(self, merges: Sequence[UserMerge]) -> None:
        self._forget_events([merge.user for merge in merges])
        names = names_after(merges)
        self._impressions = [replace(shown, user=names.get(shown.user, shown.user)) for shown in self._impressions]
        for merge in merges:
            self._note_deleted(merge.user, merged=True)
        since = min((merge.at for merge in merges), default=0.0)
        deleted = {user.digest for user in self._deleted_users if user.at >= since and not user.merged}
        self._forget_slates(login for login in names.values() if digest_of(login) in deleted)

    def _forget_events(self, users: Sequence[Id]) -> None:
        texts = {*map(str, users)}
        self._log = [logged for logged in self._log if str(logged.event.user_id) not in texts]

    def _forget_slates(self, users: Iterable[Id]) -> None:
        texts = {*map(str, users)}
        self._impressions = [shown for shown in self._impressions if shown.user not in texts]

    async def forget_impressions(self, user: Id) -> None:
        self._forget_slates([user])
        self._note_deleted(user)

    def _note_deleted(self, user: Id, *, merged: bool = False) -> None:
        self._deleted_users.append(DeletedUser(self._entry(), digest_of(user), time.time(), merged))

    def read_deleted_users(self) -> list[DeletedUser]:
        return [*self._deleted_users]

    def drop_old_deletions(self) -> None:
        """Nothing expires here."""

    def forget_records(self, generation: str, buckets: int, users: Sequence[str]) -> None:
        for user in users:
            self.records.get((generation, user_bucket(user, buckets)), {}).update({user: None})

    def now(self) -> float:
        return time.time()

    def read_events(self, users: Sequence[str]) -> list[list[Event]]:
        return [[*self._events.get(user, [])] for user in users]

    def read_lists(self, generation: str, buckets: int, users: Sequence[str]) -> list[bytes | None]:
        return [self._lists.get((generation, user, "")) for user in users]

    def write_lists(self, generation: str, buckets: int, lists: Mapping[str, bytes], variant: str = "") -> None:
        known = zip(lists, self.read_records(generation, buckets, [*lists]), strict=True)
        users = [user for user, record in known if record is not None or user in self._events]
        self._lists.update({(generation, user, variant): lists[user] for user in users})

    def write_similar(self, generation: str, lists: Mapping[int, bytes]) -> None:
        self._similar.update({(generation, row): packed for row, packed in lists.items()})

    def read_log(self, after: str = "", count: int = 1_000) -> list[LoggedEvent]:
        return [logged for logged in self._log if not after or place_of(logged.entry) > place_of(after)][:count]

    def read_cursor(self, generation: str) -> Cursor | None:
        return self._cursors.get(generation)

    def write_cursor(self, generation: str, cursor: Cursor) -> None:
        self._cursors[generation] = cursor

    def active_users(self) -> list[str]:
        return [user for user in self._events if not is_load_test(user)]

    def write_trending(self, trending: Trending) -> None:
        self._trending = trending

    def read_impressions(self, after: str = "", count: int = 1_000) -> list[LoggedImpression]:
        return [shown for shown in self._impressions if not after or place_of(shown.entry) > place_of(after)][:count]

    def drop_impressions(self, entries: Sequence[str]) -> None:
        self._impressions = [shown for shown in self._impressions if shown.entry not in entries]

    async def close(self) -> None:
        """There is no connection to close."""


class MemoryProcessRegistry:
    """The announcements of processes, as in `RedisProcessRegistry`. alias_moved: ends a wait."""

    def __init__(self) -> None:
        self._announced: dict[str, Announcement] = {}
        self.alias_moved = threading.Event()

    def announce(self, announcement: Announcement) -> None:
        self._announced[announcement.name] = announcement

    def withdraw(self, name: str) -> None:
        self._announced.pop(name, None)

    def processes(self) -> list[Announcement]:
        return [self._announced[name] for name in sorted(self._announced) if not self._announced[name].ended]

    def remove_ended(self) -> list[Announcement]:
        ended = [announcement for announcement in self._announced.values() if announcement.ended]
        for announcement in ended:
            self.withdraw(announcement.name)
        return ended

    def wait(self, seconds: float) -> None:
        self.alias_moved.wait(seconds)
        self.alias_moved.clear()

    def close(self) -> None:
        """There is no connection to close."""


def _without_user(event: Event) -> str:
    """An event without its user, as text: the ids 7 and "7" differ, as in Redis."""
    return json.dumps([*event[1:4], dict(event.context)], sort_keys=True)
