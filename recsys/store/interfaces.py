"""The main interfaces to the store (ports): `GenerationStore` for trained models and tables, `UserStore` for users.

A generation is one trained set of models and tables. Training and model loaders read and write whole generations, one
command at a time (sync). The gateway, the server that takes requests, reads many users at once (async). `flow_port` has
the interface for batch jobs, `item_port` the one for items added after training. This module imports no Redis.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from recsys.generation.manifest import Manifest
from recsys.model.event_types import IMPRESSION as IMPRESSION
from recsys.store.streams import LostEntries
from recsys.types import Event, Id

LIVE, PREVIOUS = "live", "previous"

CHUNK = (1 << 20) - 64
"""Bytes of a part in one key. The overhead of a key is small beside it, and one read blocks the store for under 1 ms.
With 64 bytes more, header and value exceed 1 MiB, and jemalloc's next size class takes a quarter more memory."""

LEASE = 30.0
"""Seconds after which a silent publisher loses its claim. A publisher renews its claim after a third of them."""

EVENTS_KEPT = 200
"""Newest events kept of a user beside the generation's history: twice what the towers read."""

EVENTS_EXPIRE = 90 * 86_400
"""Seconds after a user's last event when the user's keys expire, and the age at which an event is removed."""

EVENT_IDS_KEPT, EVENT_IDS_EXPIRE = 1_000, 86_400
"""Newest event ids of a user by which a repeated event is detected, and the seconds for which they are kept."""

LOAD_TEST_EXPIRE = 3_600
"""Seconds after the last event of a load-test user when that user's keys expire."""

LISTS_EXPIRE = 2 * 86_400
"""Seconds after which lists expire that no flow has replaced."""

TRENDING_EXPIRE = 86_400


def user_bucket(user_id: Id, buckets: int) -> int:
    """The hash that holds a user's record in a generation with so many buckets."""
    return zlib.crc32(str(user_id).encode("utf-8", "surrogatepass")) % buckets


def users_by_bucket(users: Iterable[str], buckets: int) -> dict[int, list[str]]:
    """Users by the hash that holds their records."""
    hashes: dict[int, list[str]] = {}
    for user in users:
        hashes.setdefault(user_bucket(user, buckets), []).append(user)
    return hashes


@dataclass(frozen=True, slots=True)
class UserState:
    """The stored state of one user. record: packed, of one generation; None if unknown. listed: the packed list.

    lost: whether the whole hash of records is missing: it was evicted, or the store is empty after a restart.
    """

    record: bytes | None
    events: list[Event]
    lost: bool = False
    listed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Trending:
    """Trending items with a weight each, the heaviest first; made_at: unix seconds."""

    made_at: float
    items: tuple[tuple[Id, float], ...]

    @property
    def ids(self) -> list[Id]:
        """The items without their weights."""
        return [item for item, _ in self.items]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to publish one generation, valid while `token` is stored.

    fence: orders generations. The store counts fences, so that the order depends on no clock.
    """

    token: str
    generation: str
    fence: int


@dataclass(frozen=True, slots=True)
class AliasMove:
    """A move of the alias `live`. was: live before, None if nothing was. live, previous: the aliases now."""

    was: str | None
    live: str
    previous: str | None


@dataclass(frozen=True, slots=True)
class StoredSizes:
    """The bytes of each part's chunks and the records of each hash of users; 0 where nothing is stored.

    Users who were deleted after their record was written count as stored.
    """

    chunks: Mapping[str, Sequence[int]]
    records: Sequence[int]


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes that the store uses and bytes that it may use."""

    used: int
    allowed: int


class GenerationStore(Protocol):
    """Whole generations, and the aliases that name them. Every call raises StoreUnavailable without a store.

    A call with a claim raises StalePublisher, and changes nothing, if the claim is no longer held.
    """

    def ping(self) -> None:
        """Return if the store answers."""

    def claim(self, generation: str, lease: float = LEASE) -> Claim:
        """Become the only publisher for `lease` seconds and take the next fence; PublisherBusy names another one."""

    def renew(self, claim: Claim, lease: float = LEASE) -> None:
        """Keep a claim for `lease` seconds from now."""

    def release(self, claim: Claim) -> None:
        """Give up a claim, if it is still held."""

    def stored_sizes(self, manifest: Manifest, claim: Claim) -> StoredSizes:
        """Return what is stored of an unfinished generation, and start its expiry anew."""

    def write_part(
        self, generation: str, name: str, data: bytes | memoryview, *, first: int = 0, claim: Claim | None = None
    ) -> None:
        """Write a part, or its bytes from chunk `first` on. With a claim, stored chunks are not overwritten."""

    def overwrite_chunk(self, name: str, data: bytes | memoryview, chunk: int, claim: Claim) -> None:
        """Replace one chunk of a part."""

    def read_part(
        self, generation: str, name: str, size: int, *, first: int = 0, count: int | None = None
    ) -> Iterator[bytes]:
        """Yield `count` chunks of a part of `size` bytes from chunk `first` on; without `count`, all of them.

        GenerationError names a missing chunk.
        """

    def write_users(
        self, generation: str, buckets: int, records: Mapping[str, bytes], claim: Claim | None = None
    ) -> None:
        """Write users' packed records, spread over `buckets` hashes. Stored records are overwritten."""

    def read_records(self, generation: str, buckets: int, users: Sequence[str]) -> list[bytes | None]:
        """Return users' packed records, None for a user without a record."""

    def write_manifest(self, generation: str, manifest: str, claim: Claim | None = None) -> None:
        """Write the manifest: the generation can be promoted from now on.

        With a claim, GenerationError if a chunk or a record is missing.
        """

    def read_manifest(self, generation: str) -> bytes | None:
        """Return the manifest, None if there is none."""

    def generations(self) -> list[str]:
        """Return the ids of all generations with a manifest, the lowest fence first."""

    def delete(self, generation: str) -> None:
        """Delete a generation in one step; GenerationError if an alias names it."""

    def discard(self, manifest: Manifest, claim: Claim) -> None:
        """Delete an unfinished generation."""

    def promote(self, generation: str, *, forward: bool = False) -> AliasMove:
        """Move `live` to a generation, and `previous` to what was live; GenerationError without a manifest.

        forward: raise StalePublisher if this or a later generation was live before.
        """

    def rollback(self) -> AliasMove:
        """Swap `live` and `previous`; GenerationError if there is no previous generation."""

    def alias(self, name: str) -> str | None:
        """Return the generation that an alias names."""

    def aliases(self, names: Sequence[str] = (LIVE, PREVIOUS)) -> tuple[str | None, ...]:
        """Return the generations that aliases name, read at one moment."""

    def memory_use(self) -> MemoryUse | None:
        """Return used and allowed memory, None if the store has no limit or does not report it."""


class UserStore(Protocol):
    """Users' records, events and lists, read and written while a request is answered."""

    async def read_users(self, generation: str, buckets: int, users: Sequence[Id]) -> list[UserState]:
        """Return the state of each user, read in one round trip; events oldest first."""

    async def add_events(self, events: Sequence[Event]) -> int:
        """Add events to the log and to their users' histories, in one round trip; return how many were new.

        An event whose id is among the user's last EVENT_IDS_KEPT ids is not new. Events of a load-test user enter that
        user's history only, for LOAD_TEST_EXPIRE seconds.
        """

    async def read_trending(self) -> Trending | None:
        """Return the trending items, None if there are none or they can't be read."""

    async def add_impressions(self, impressions: Sequence[tuple[Id, bytes]]) -> None:
        """Append packed impressions with their users."""

    async def read_lost(self) -> LostEntries:
        """Return how many entries the limits of the streams removed before a flow read them."""

    async def forget_user(self, user: Id) -> None:
        """Delete a user from every key."""

    async def merge_user(self, user: Id, into: Id, more: Sequence[Event] = ()) -> int:
        """Move a user's events to another user, add `more`, and delete the first user from all keys but the streams.

        Returns how many events the other user has. The events and their ids move in one step. Equal events become one,
        and the newest EVENTS_KEPT stay. Moved events are logged under the other user; the events of `more` are not.
        """

    async def forget_streams(self, users: Sequence[Id]) -> None:
        """Delete users from the log and from the impressions, in one pass for all of them."""

    async def forget_impressions(self, user: Id) -> None:
        """Delete a user's impressions only."""

    async def close(self) -> None:
        """Close all connections."""
