"""A store in a dict, for unit tests; it passes the same contract suite as the real one."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from recsys.generation.manifest import Manifest
from recsys.store import refusals
from recsys.store.key_names import chunks_of
from recsys.store.memory.memory_streams import MemoryStream
from recsys.store.ports import (
    CHUNK,
    EVENTS_EXPIRE,
    EVENTS_KEPT,
    IMPRESSION,
    LEASE,
    LIVE,
    NAMES_KEPT,
    PREVIOUS,
    Claim,
    Moved,
    Space,
    Stored,
    Trending,
    UserState,
    user_bucket,
)
from recsys.store.publisher_lock import Owner
from recsys.store.streams import (
    IMPRESSION_LIMITS,
    LOG_LIMITS,
    Cursor,
    LoggedEvent,
    LoggedImpression,
    LostEntries,
    StreamLimits,
)
from recsys.types import Event, Id, is_load_test


class MemoryStore:
    """Both ports over plain dicts."""

    def __init__(
        self,
        events_age: float = EVENTS_EXPIRE,
        log: StreamLimits = LOG_LIMITS,
        impressions: StreamLimits = IMPRESSION_LIMITS,
    ) -> None:
        self._chunks: dict[tuple[str, str, int], bytes] = {}
        self._manifests: dict[str, str] = {}
        self._records: dict[tuple[str, str], bytes] = {}
        self._events_age = events_age
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._names: dict[str, list[str]] = defaultdict(list)
        self._lists: dict[tuple[str, str], bytes] = {}
        self._forgotten: dict[str, set[int]] = defaultdict(set)
        self._log = MemoryStream[Event](log)
        self._impressions = MemoryStream[bytes](impressions)
        self._reported = 0
        self._cursors: dict[str, Cursor] = {}
        self._trending: Trending | None = None
        self._aliases: dict[str, str] = {}
        self._fences: dict[str, int] = {}
        self._fence = self._promoted = 0
        self._claim: Claim | None = None
        self._expires = 0.0

    def ping(self) -> None:
        """Always there."""

    def claim(self, generation: str, lease: float = LEASE) -> Claim:
        if (
            self._claim
            and time.monotonic() < self._expires
            and not refusals.owner_of(self._claim.token).makes_way(Owner.here(generation))
        ):
            raise refusals.busy(self._claim.token, int(time.time()))
        self._fence += 1
        token = f"{self._fence} {int(time.time())} {Owner.here(generation).to_json()}"
        self._claim = Claim(token, generation, self._fence)
        self._expires = time.monotonic() + lease
        return self._claim

    def renew(self, claim: Claim, lease: float = LEASE) -> None:
        self._hold(claim)
        self._expires = time.monotonic() + lease

    def release(self, claim: Claim) -> None:
        if self._claim == claim:
            self._claim = None

    def _hold(self, claim: Claim | None) -> None:
        if claim and (self._claim != claim or time.monotonic() >= self._expires):
            raise refusals.claim_lost()

    def stored(self, manifest: Manifest, claim: Claim) -> Stored:
        self._hold(claim)
        generation = claim.generation
        chunks = {
            name: [len(self._chunks.get((generation, name, n), b"")) for n in range(chunks_of(part.bytes))]
            for name, part in manifest.stored_parts.items()
        }
        records = [0] * manifest.user_buckets
        for known, user in self._records:
            if known == generation:
                records[user_bucket(user, len(records))] += 1
        for trace in self._forgotten[generation]:
            records[trace % len(records)] += 1
        return Stored(chunks, records)

    def write_part(
        self, generation: str, name: str, data: bytes | memoryview, *, first: int = 0, claim: Claim | None = None
    ) -> None:
        for n, at in enumerate(range(0, len(data), CHUNK), first):
            key = generation, name, n
            if claim is None or key not in self._chunks:
                self._chunks[key] = bytes(data[at : at + CHUNK])

    def mend_part(self, name: str, data: bytes | memoryview, chunk: int, claim: Claim) -> None:
        self._hold(claim)
        self._chunks[claim.generation, name, chunk] = bytes(data)

    def read_part(
        self, generation: str, name: str, size: int, *, first: int = 0, count: int | None = None
    ) -> Iterator[bytes]:
        last = chunks_of(size) if count is None else min(first + count, chunks_of(size))
        for n in range(first, last):
            chunk = self._chunks.get((generation, name, n), b"")
            if len(chunk) != min(CHUNK, size - n * CHUNK):
                raise refusals.chunk_missing(generation, name, n)
            yield chunk

    def write_users(
        self, generation: str, buckets: int, records: Mapping[str, bytes], claim: Claim | None = None
    ) -> None:
        self._hold(claim)
        self._forgotten[generation] -= {_trace(user) for user in records}
        self._records |= {(generation, user): record for user, record in records.items()}

    def read_records(self, generation: str, buckets: int, users: Sequence[str]) -> list[bytes | None]:
        return [self._records.get((generation, user)) for user in users]

    def write_manifest(self, generation: str, manifest: str, claim: Claim | None = None) -> None:
        self._hold(claim)
        if claim:
            self._check_whole(Manifest.from_json(manifest), claim)
        elif generation not in self._fences:
            self._fence += 1
        self._manifests[generation] = manifest
        self._fences.setdefault(generation, claim.fence if claim else self._fence)

    def _check_whole(self, manifest: Manifest, claim: Claim) -> None:
        stored = self.stored(manifest, claim)
        for name, part in manifest.stored_parts.items():
            for n, size in enumerate(stored.chunks[name]):
                if size != min(CHUNK, part.bytes - n * CHUNK):
                    raise refusals.not_whole(manifest.id, f"chunk {n} of {name}")
        if sum(stored.records) != manifest.dims["users"]:
            raise refusals.not_whole(manifest.id, "users")

    def read_manifest(self, generation: str) -> bytes | None:
        manifest = self._manifests.get(generation)
        return None if manifest is None else manifest.encode()

    def generations(self) -> list[str]:
        return sorted(self._fences, key=lambda generation: self._fences[generation])

    def delete(self, generation: str) -> None:
        if generation in self._aliases.values():
            raise refusals.aliased(generation)
        self._manifests.pop(generation, None)
        self._fences.pop(generation, None)
        self._remove(generation)

    def discard(self, manifest: Manifest, claim: Claim) -> None:
        self._hold(claim)
        if claim.generation not in self._manifests:
            self._remove(claim.generation)

    def _remove(self, generation: str) -> None:
        self._chunks = {key: chunk for key, chunk in self._chunks.items() if key[0] != generation}
        self._records = {key: record for key, record in self._records.items() if key[0] != generation}
        self._lists = {key: packed for key, packed in self._lists.items() if key[0] != generation}
        self._forgotten.pop(generation, None)
        self._cursors.pop(generation, None)

    def promote(self, generation: str, *, forward: bool = False) -> Moved:
        live = self._aliases.get(LIVE)
        if generation not in self._fences:
            raise refusals.absent(generation)
        fence = self._fences[generation]
        if forward and generation != live and fence <= self._promoted:
            raise refusals.overtaken(generation, live)
        if live is not None and live != generation:
            self._aliases[PREVIOUS] = live
        self._aliases[LIVE] = generation
        self._promoted = max(self._promoted, fence)
        return Moved(live, generation, self._aliases.get(PREVIOUS))

    def rollback(self) -> Moved:
        if LIVE not in self._aliases or PREVIOUS not in self._aliases:
            raise refusals.no_way_back()
        return self.promote(self._aliases[PREVIOUS])

    def alias(self, name: str) -> str | None:
        return self._aliases.get(name)

    def aliases(self, names: Sequence[str] = (LIVE, PREVIOUS)) -> tuple[str | None, ...]:
        return tuple(self._aliases.get(name) for name in names)

    def space(self) -> Space | None:
        return None

    async def read_users(self, generation: str, buckets: int, users: Sequence[Id]) -> list[UserState]:
        there = {user_bucket(user, buckets) for id_, user in self._records if id_ == generation}
        there |= {trace % buckets for trace in self._forgotten[generation]}
        oldest = time.time() - self._events_age
        return [
            UserState(
                self._records.get((generation, str(u))),
                [event for event in self._events[str(u)] if event.timestamp >= oldest],
                user_bucket(u, buckets) not in there,
                self._lists.get((generation, str(u))),
            )
            for u in users
        ]

    async def add_events(self, events: Sequence[Event]) -> int:
        new = 0
        for event in events:
            names = self._names[str(event.user_id)]
            if event.event_id in names:
                continue
            if event.event_id:
                names.append(event.event_id)
                del names[:-NAMES_KEPT]
            new += 1
            told = event._replace(event_id="")
            if not is_load_test(event.user_id):
                self._add_to_log(told)
            if event.event_type != IMPRESSION:
                kept = self._events[str(event.user_id)]
                kept.append(told)
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
        for generation, each in self._records:
            if each == text:
                self._forgotten[generation].add(_trace(text))
        for by_generation in (self._records, self._lists):
            for key in [key for key in by_generation if key[1] == text]:
                del by_generation[key]
        self._events.pop(text, None)
        self._names.pop(text, None)

    async def merge_user(self, user: Id, into: Id, more: Sequence[Event] = ()) -> int:
        kept, oldest = self._events[str(into)], time.time() - self._events_age
        there = {_what(event) for event in kept}
        for event in (*more, *self._events[str(user)]):
            if _what(event) not in there:
                there.add(_what(event))
                kept.append(event._replace(user_id=into, event_id=""))
                if event not in more and not is_load_test(into):
                    self._add_to_log(kept[-1])
        kept.sort(key=lambda event: event.timestamp)
        kept[:] = [event for event in kept if event.timestamp >= oldest][-EVENTS_KEPT:]
        names = self._names[str(into)]
        names[:] = [*(name for name in self._names[str(user)] if name not in names), *names][-NAMES_KEPT:]
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
            for (each, user), record in self._records.items()
            if each == generation and user_bucket(user, buckets) == bucket
        }

    def read_events(self, users: Sequence[str]) -> list[list[Event]]:
        oldest = time.time() - self._events_age
        return [[event for event in self._events[user] if event.timestamp >= oldest] for user in users]

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
        """Nothing to let go of."""


def _what(event: Event) -> str:
    """All of an event but whose it is, as text: 7 and "7" differ, as in Redis."""
    return json.dumps([*event[1:4], dict(event.context)], sort_keys=True)


def _trace(user: Id) -> int:
    """What is left of one who was forgotten: the bucket, however many there are."""
    return user_bucket(user, 1 << 32)
