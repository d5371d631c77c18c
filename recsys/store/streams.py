"""The entries and size limits of the store's two streams: the log of all users' events, and the impressions.

An impression is a list of recommended items that a user was shown. `python -m flows drain` moves impressions to Parquet
files.
"""

from __future__ import annotations

from dataclasses import dataclass

from recsys.types import Event


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
class LoggedEvent:
    """An event in the log of all users.

    entry: its place in the log: milliseconds of the store's clock, `-` and a number. number: counts the events that
    were ever logged; 0 for an event that an earlier version logged.
    """

    entry: str
    event: Event
    number: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event of the log that `flows refresh` has read for a generation."""

    entry: str
    number: int


@dataclass(frozen=True, slots=True)
class LoggedImpression:
    """A packed `Impression` that waits for `flows drain`; arrived: unix seconds of the store's clock."""

    entry: str
    data: bytes
    arrived: float


@dataclass(frozen=True, slots=True)
class LostEntries:
    """Entries that the limits of the streams removed before a flow could read them, since the store is in use.

    impressions: all that were removed before `flows drain` read them. events: those younger than the age limit of the
    log, which trending misses.
    """

    impressions: int
    events: int
