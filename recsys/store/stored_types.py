"""The types and constants of the store: a user's state, trending items, claims of publishers, entries of the streams.

A generation is one trained set of models and tables. A stream is a Redis list to which entries are appended: `events`
has the events of all users, `impressions` the lists of recommended items that users were shown.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from recsys.model.event_types import IMPRESSION as IMPRESSION
from recsys.types import Event, Id

LIVE, PREVIOUS = "live", "previous"

CHUNK = (1 << 20) - 64
"""Bytes of a part in one key. The overhead of a key is small beside it, and one read blocks the store for under 1 ms.
With 64 bytes more, header and value exceed 1 MiB, and jemalloc's next size class takes a quarter more memory."""

LEASE = 30.0
"""Seconds after which a silent publisher loses its claim. A publisher renews its claim after a third of them."""

UNFINISHED_EXPIRE = 86_400
"""Seconds for which parts without a manifest are kept: longer than any publish."""

EVENTS_KEPT = 200
"""Newest events kept of a user beside the generation's history: twice what the towers read."""

EVENTS_EXPIRE = 90 * 86_400
"""Seconds after a user's last event when the user's keys expire, and the age at which an event is removed."""

EVENT_IDS_KEPT, EVENT_IDS_EXPIRE = 1_000, 86_400
"""Newest event ids of a user by which a repeated event is detected, and the seconds for which they are kept."""

LOAD_TEST_EXPIRE = 3_600
"""Seconds after the last event of a load-test user when that user's keys expire."""

MINUTES_COUNTED, HOURS_COUNTED = 65, 25
"""Full minutes and hours whose counts of events are read: the longest windows of the ranker's features, and a little
more for a query whose features are computed late."""

MINUTES_EXPIRE, HOURS_EXPIRE = (MINUTES_COUNTED + 5) * 60, (HOURS_COUNTED + 1) * 3_600
"""Seconds after the last event of a minute or an hour when its counts expire."""

LISTS_EXPIRE = 2 * 86_400
"""Seconds after which lists expire that no flow has replaced."""

TRENDING_EXPIRE = 86_400

ITEMS_OF_HASH = 512
"""Items whose lists of similar items share a hash, which then takes some 400 KB."""


SAMPLED_HASHES = 16
"""Hashes of records from which a sample of users is taken: 8,000 users, 0.1 MB of ids."""


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
class StreamLimits:
    """What a stream keeps: entries younger than `seconds`, and of these the newest that fit into `bytes`.

    The bytes are those of the values, without the overhead of the store. Entries of deleted users count until all older
    entries are removed.
    """

    seconds: float
    bytes: int


LOG_LIMITS = StreamLimits(25 * 3_600, 64 << 20)
"""Trending reads the log of the last 24 hours. 64 MiB hold 670,000 events of 100 bytes: seven a second for 24 hours."""

IMPRESSION_LIMITS = StreamLimits(31 * 86_400, 256 << 20)
"""A day more than the longest wait of `flows drain`. 256 MiB hold some 58,000 slates of 4.6 KB, which have 20 items."""


@dataclass(frozen=True, slots=True)
class DeletedUser:
    """A user who was deleted, for the files that may have the user. The store holds no id, only its digest.

    entry: the place in the stream of deleted users. at: when the user was deleted, by the store's clock. merged:
    whether the user is a visitor who was merged into a login.
    """

    entry: str
    digest: bytes
    at: float
    merged: bool = False


class UserMerge(NamedTuple):
    """A visitor who was merged into a login. at: unix seconds."""

    user: Id
    into: Id
    at: float


def names_after(merges: Iterable[UserMerge]) -> dict[str, str]:
    """The login of each visitor after these merges, in their order: a login may be merged again."""
    names: dict[str, str] = {}
    for merge in merges:
        user, into = str(merge.user), str(merge.into)
        names = {visitor: into if login == user else login for visitor, login in names.items()} | {user: into}
    return names


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event in the log of all users.

    entry: its place in the log: milliseconds of the store's clock, `-` and a number. number: counts the events that
    were ever logged.
    """

    entry: str
    event: Event
    number: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event of the log that `flows refresh` has read for a generation."""

    entry: str
    number: int


def place_of(entry: str) -> tuple[int, int]:
    """The place of an entry in its stream: milliseconds of the store's clock, and a number."""
    moment, _, number = entry.partition("-")
    return int(moment), int(number)


def _seconds_of(entry: str) -> float:
    """The time in the name of an entry."""
    return int(entry.partition("-")[0]) / 1_000


@dataclass(frozen=True, slots=True)
class CollectedEvent:
    """An event of the log for a file. event: with its id. dataset: of the generation in force; empty for none."""

    entry: str
    event: Event
    dataset: str

    @property
    def arrived(self) -> float:
        """Unix seconds of the store's clock."""
        return _seconds_of(self.entry)


@dataclass(frozen=True, slots=True)
class CollectedBatch:
    """The events of the log for one file, between two entries.

    after: the entry before them. last: their last entry. number: of the last event that was read. trimmed: entries that
    the limits of the log had removed by then. unreadable: entries without an event. lost: events that were removed
    before they were read.
    """

    after: str
    last: str
    number: int
    trimmed: int
    events: Sequence[CollectedEvent]
    unreadable: int
    lost: int

    @property
    def last_arrived(self) -> float:
        """Unix seconds of the store's clock."""
        return _seconds_of(self.last)


@dataclass(frozen=True, slots=True)
class LoggedImpression:
    """A packed `Impression` that waits for `flows drain`.

    user: after a merge the login, where `data` has the visitor.
    """

    entry: str
    user: str
    data: bytes

    @property
    def arrived(self) -> float:
        """Unix seconds of the store's clock."""
        return _seconds_of(self.entry)


@dataclass(frozen=True, slots=True)
class LostEntries:
    """Entries that the limits of the streams removed before a flow could read them, since the store is in use.

    impressions: all that were removed before `flows drain` read them. events: those younger than the age limit of the
    log, which trending misses.
    """

    impressions: int
    events: int
