"""What a store does. Knows no Redis.

Two ports, since two kinds of process use it: flows and loaders read and write whole generations, one command at a
time (`GenerationStore`, sync); the gateway reads many users at once on the hot path (`UserStore`, async).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from recsys.generation.manifest import Manifest
from recsys.model.event_types import IMPRESSION as IMPRESSION
from recsys.store.streams import Cursor, LoggedEvent, LoggedImpression, LostEntries
from recsys.types import Event, Id

LIVE, PREVIOUS = "live", "previous"

CHUNK = (1 << 20) - 64
"""Bytes of a part in one key: large enough that a key's cost is nothing, small enough that one read blocks the store
for under a millisecond. 64 less than 1 MiB: a string's header would take it past the allocator's class of that size,
and jemalloc's next one costs a quarter more."""

LEASE = 30.0
"""Seconds that a publisher of which nothing is heard keeps others waiting. It says every third of it that it lives."""

EVENTS_KEPT = 200
"""Newest events kept of a user beside the generation's history: twice what the towers look at."""

EVENTS_EXPIRE = 90 * 86_400
"""Seconds after a user's last event when what is kept of them here goes, and the age at which an event does."""

NAMES_KEPT, NAMES_EXPIRE = 1_000, 86_400
"""Newest event ids of a user by which an event that comes again is known, and seconds for which they are kept."""

LOAD_TEST_EXPIRE = 3_600
"""Seconds after the last event of a load-test user when that user's keys expire."""

LISTS_EXPIRE = 2 * 86_400
"""Seconds after which lists go that no flow made anew."""

TRENDING_EXPIRE = 86_400


def user_bucket(user_id: Id, buckets: int) -> int:
    """The hash that holds a user's record in a generation of so many buckets."""
    return zlib.crc32(str(user_id).encode("utf-8", "surrogatepass")) % buckets


@dataclass(frozen=True, slots=True)
class UserState:
    """All that is stored of one user: the packed record of a generation (None if unknown) and events since.

    lost: whether the store has no record of any user of that hash: it was evicted, or the store came back empty.
    listed: the packed list that a flow made.
    """

    record: bytes | None
    events: list[Event]
    lost: bool = False
    listed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Trending:
    """Items that many turned to lately, the most first, each with a weight; made_at: unix seconds."""

    made_at: float
    items: tuple[tuple[Id, float], ...]

    @property
    def ids(self) -> list[Id]:
        """The items."""
        return [item for item, _ in self.items]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to publish one generation, while `token` stands in the store.

    fence: orders generations; the store counts it up, so that no clock has a say.
    """

    token: str
    generation: str
    fence: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What the aliases named before and name now; the same where there was nothing to move."""

    was: str | None
    live: str
    previous: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What is there of a generation: bytes of each part's chunks, records in each hash of users; 0 where nothing is.

    Users who were forgotten since their record was written count as there.
    """

    chunks: Mapping[str, Sequence[int]]
    records: Sequence[int]


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes the store uses and bytes it may use."""

    used: int
    allowed: int


class GenerationStore(Protocol):
    """Generations, whole, and the aliases that name them. StoreUnavailable where the store can't be reached.

    With a claim a call raises StalePublisher, and changes nothing, where the claim is no longer held.
    """

    def ping(self) -> None:
        """Return if the store answers."""

    def claim(self, generation: str, lease: float = LEASE) -> Claim:
        """Become the one publisher and take the next fence, for `lease` seconds; PublisherBusy names who is it now."""

    def renew(self, claim: Claim, lease: float = LEASE) -> None:
        """Keep a claim for `lease` seconds from now."""

    def release(self, claim: Claim) -> None:
        """Let go of a claim, if it is still held."""

    def stored(self, manifest: Manifest, claim: Claim) -> Stored:
        """What is there already of a generation; its time to expire begins anew."""

    def write_part(
        self, generation: str, name: str, data: bytes | memoryview, *, first: int = 0, claim: Claim | None = None
    ) -> None:
        """Write a part, or what it holds from its chunk `first` on; what isn't there is written alone, with a claim."""

    def mend_part(self, name: str, data: bytes | memoryview, chunk: int, claim: Claim) -> None:
        """Write one chunk over what is there."""

    def read_part(
        self, generation: str, name: str, size: int, *, first: int = 0, count: int | None = None
    ) -> Iterator[bytes]:
        """`count` chunks of a part of `size` bytes in order, all from `first` on without it.

        GenerationError names a missing chunk.
        """

    def write_users(
        self, generation: str, buckets: int, records: Mapping[str, bytes], claim: Claim | None = None
    ) -> None:
        """Write users' packed records, spread over `buckets` hashes; over one that is there, whole hashes or mends."""

    def read_records(self, generation: str, buckets: int, users: Sequence[str]) -> list[bytes | None]:
        """Users' packed records, None for one that has none."""

    def write_manifest(self, generation: str, manifest: str, claim: Claim | None = None) -> None:
        """Write the manifest: from now on the generation can be promoted.

        With a claim, GenerationError where a chunk or a record that the manifest names is not there.
        """

    def read_manifest(self, generation: str) -> bytes | None:
        """The manifest, None where there is none."""

    def generations(self) -> list[str]:
        """Ids of every generation with a manifest, lowest fence first."""

    def delete(self, generation: str) -> None:
        """Remove a generation that no alias names, in one step; GenerationError if one does."""

    def discard(self, manifest: Manifest, claim: Claim) -> None:
        """Remove what is there of a generation that has no manifest."""

    def promote(self, generation: str, *, forward: bool = False) -> Moved:
        """Move `live` to a generation, `previous` to what was live; GenerationError if it has no manifest.

        forward: StalePublisher where it, or a later one, was live before; for those who don't know what has happened
        since they began.
        """

    def rollback(self) -> Moved:
        """Move `live` to `previous` and `previous` to what was live; GenerationError where there is none."""

    def alias(self, name: str) -> str | None:
        """The generation an alias names."""

    def aliases(self, names: Sequence[str] = (LIVE, PREVIOUS)) -> tuple[str | None, ...]:
        """The generations that aliases name, as of one moment; None for an alias that names nothing."""

    def space(self) -> Space | None:
        """What the store uses and may use, None where it sets no limit or won't tell."""


class FlowStore(Protocol):
    """What the flows that follow users read and write, one command at a time."""

    def now(self) -> float:
        """Unix seconds of the store's clock, which names the entries of the streams."""

    def read_bucket(self, generation: str, bucket: int) -> dict[str, bytes]:
        """The packed records of one hash of users."""

    def read_events(self, users: Sequence[str]) -> list[list[Event]]:
        """What each user did since, oldest first."""

    def write_lists(self, generation: str, buckets: int, lists: Mapping[str, bytes]) -> None:
        """Write users' packed lists; they go with their generation, and LISTS_EXPIRE after the last was written.

        None is written of a user who has neither a record in that generation nor events: one just forgotten.
        """

    def read_log(self, after: str = "", count: int = 1_000) -> list[LoggedEvent]:
        """Events of all users after an entry, oldest first; from the first that is kept without one."""

    def read_cursor(self, generation: str) -> Cursor | None:
        """The last event that was read for a generation; None where none was."""

    def write_cursor(self, generation: str, cursor: Cursor) -> None:
        """Replace the cursor of a generation; it is deleted with the generation."""

    def active_users(self) -> list[str]:
        """All users with stored events, in no order, without load-test users."""

    def write_trending(self, trending: Trending) -> None:
        """Replace what is trending."""

    def read_impressions(self, after: str = "", count: int = 1_000) -> list[LoggedImpression]:
        """Impressions after an entry, oldest first."""

    def drop_impressions(self, entries: Sequence[str]) -> None:
        """Remove impressions that are stored elsewhere."""

    def lost_impressions(self) -> int:
        """Impressions that were removed before they were drained, since `report_lost`."""

    def report_lost(self, impressions: int) -> None:
        """Count lost impressions as reported."""

    def close(self) -> None:
        """Let go of connections."""


class UserStore(Protocol):
    """Users' state, for the hot path."""

    async def read_users(self, generation: str, buckets: int, users: Sequence[Id]) -> list[UserState]:
        """The state of each user, in one round trip; events oldest first."""

    async def add_events(self, events: Sequence[Event]) -> int:
        """Add events to the log of all, and to their users' by time, in one round trip; how many were new.

        An event with an id that the user's last NAMES_KEPT events had is no new one. Events of a load-test user
        (`recsys.types.is_load_test`) enter that user's history alone, for LOAD_TEST_EXPIRE seconds.
        """

    async def read_trending(self) -> Trending | None:
        """What is trending, None where nothing is or it can't be read."""

    async def add_impressions(self, impressions: Sequence[tuple[Id, bytes]]) -> None:
        """Append packed impressions, each of a user."""

    async def read_lost(self) -> LostEntries:
        """How many entries the limits of the streams removed before a flow read them."""

    async def forget_user(self, user: Id) -> None:
        """Remove a user from every key there is."""

    async def merge_user(self, user: Id, into: Id, more: Sequence[Event] = ()) -> int:
        """Move a user's events to another user, add `more`, and remove the first user from all keys but the streams.

        How many events the other user has now. The events and their ids move in one step, equal events become one, and
        the newest EVENTS_KEPT stay. What was moved is in the log under the other user; `more` is not.
        """

    async def forget_streams(self, users: Sequence[Id]) -> None:
        """Remove users from the log and from the impressions, in one pass for all of them."""

    async def forget_impressions(self, user: Id) -> None:
        """Remove a user's impressions alone."""

    async def close(self) -> None:
        """Let go of connections."""
