"""Counters of the events of all users by item, minute and hour: what a new event increments, and the reader of all.

They hold no ids of users. The ranker's features are computed from them (`recsys.kernels.recent_events`).
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable
from typing import NamedTuple

import numpy as np

from recsys.kernels.recent_events import ItemEvents, item_events
from recsys.model.event_counts import NO_COUNTS, EventCounts
from recsys.store.key_names import hour_key, minute_key, text_of
from recsys.store.redis.connection import retry_once, sync_client, translated_errors
from recsys.store.redis.store_address import address
from recsys.store.stored_types import HOURS_COUNTED, IMPRESSION, MINUTES_COUNTED
from recsys.types import I32, Event

AHEAD_SECONDS = 60.0
"""How far a clock of a client may be ahead: a later event is not counted."""

_SECONDS = 1.0
"""The limit of a connect and of a reply."""


def count_values(event: Event, now: float, uncounted: Container[str]) -> tuple[bytes, str, str]:
    """The item of an event, and the keys of the counts of its minute and hour; empty if its time is not counted."""
    item, at = text_of(event.item_id), event.timestamp
    if event.event_type == IMPRESSION or event.event_type in uncounted or at > now + AHEAD_SECONDS:
        return item, "", ""
    minute = minute_key(int(at // 60)) if at // 60 >= now // 60 - MINUTES_COUNTED else ""
    return item, minute, hour_key(int(at // 3_600)) if at // 3_600 >= now // 3_600 - HOURS_COUNTED else ""


class _Hash(NamedTuple):
    """The counts of one minute or hour as they were read. total: the number of its events, as in the store."""

    total: bytes
    items: I32
    counts: I32


class RedisCountReader:
    """Reads the counts of events, for one thread; SettingsError for a malformed `url`."""

    def __init__(self, url: str) -> None:
        self.address = address(url)
        self._redis = sync_client(url, _SECONDS, _SECONDS, retry=retry_once())
        self._numbers: dict[bytes, int] = {}
        self._names: list[str] = []
        self._held: dict[str, _Hash] = {}
        self._last = NO_COUNTS

    def read(self) -> EventCounts:
        """Return the counts of all minutes and hours that are over; the last result if nothing changed.

        Only hashes that changed are read again. Raises StoreUnavailable without a store.
        """
        now = time.time()
        minutes = {minute_key(minute): minute for minute in _last(int(now // 60), MINUTES_COUNTED)}
        hours = {hour_key(hour): 60 * hour for hour in _last(int(now // 3_600), HOURS_COUNTED)}
        keys = [*minutes, *hours]
        with translated_errors(self.address), self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hget(key, "")
            totals = {key: total for key, total in zip(keys, pipe.execute(), strict=True) if total}
            kept = {key: held for key, held in self._held.items() if totals.get(key) == held.total}
            changed = [key for key in totals if key not in kept]
            if not changed and len(kept) == len(self._held):
                return self._last
            for key in changed:
                pipe.hgetall(key)
            self._held = kept | {key: self._numbered(raw) for key, raw in zip(changed, pipe.execute(), strict=True)}
        self._drop_unused()
        self._last = EventCounts(self._names, self._joined(minutes), self._joined(hours))
        return self._last

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def _numbered(self, raw: dict[bytes, bytes]) -> _Hash:
        """A hash with numbers in place of the ids of items."""
        total = raw.pop(b"", b"")
        for item in raw.keys() - self._numbers.keys():
            self._numbers[item] = len(self._names)
            self._names.append(item.decode("utf-8", "surrogatepass"))
        items = np.fromiter(map(self._numbers.__getitem__, raw), np.int32, len(raw))
        return _Hash(total, items, np.fromiter(map(int, raw.values()), np.int32, len(raw)))

    def _drop_unused(self) -> None:
        """Number the ids anew if less than half of them are in a hash, so that expired ones take no memory."""
        used = np.zeros(len(self._names), bool)
        for held in self._held.values():
            used[held.items] = True
        if 2 * used.sum() >= len(used):
            return
        numbers = np.cumsum(used, dtype=np.int32) - np.int32(1)
        self._held = {key: held._replace(items=numbers[held.items]) for key, held in self._held.items()}
        self._names = [self._names[number] for number in used.nonzero()[0].tolist()]
        self._numbers = {name.encode("utf-8", "surrogatepass"): number for number, name in enumerate(self._names)}

    def _joined(self, starts: dict[str, int]) -> ItemEvents:
        """The counts of hashes by item. starts: of each hash, in minutes since 1970, ascending."""
        held = [(start, self._held[key]) for key, start in starts.items() if key in self._held]
        none = np.zeros(0, np.int32)
        return item_events(
            np.concatenate([none, *(each.items for _, each in held)]),
            np.concatenate([none, *(np.full(len(each.items), start, np.int32) for start, each in held)]),
            np.concatenate([none, *(each.counts for _, each in held)]),
            len(self._names),
        )


def _last(now: int, count: int) -> Iterable[int]:
    """The last full minutes or hours."""
    return range(now - count, now)
