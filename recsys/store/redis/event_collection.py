"""Read the log of events for files, each event once: `python -m flows drain` copies the log in this way.

The hash `events:collected` holds the last entry that is in a file, the number of its event, and the entries that the
limits of the log had removed by then. Before a file is written, `until` fixes the last entry of the file. So a second
collector, and a run after a kill, writes the same file again.
"""

from __future__ import annotations

from typing import Any

from recsys.store.key_names import COLLECTED, EVENT_LOG, counts_key
from recsys.store.redis.connection import sync_client, translated_errors
from recsys.store.redis.scripts import BEGIN_FILE, FINISH_FILE
from recsys.store.redis.store_address import address
from recsys.store.redis.stored_events import parse_event
from recsys.store.stored_types import CollectedBatch, CollectedEvent

_CONNECT_SECONDS, _REPLY_SECONDS = 2.0, 10.0

_READ_AT_ONCE = 1_000
"""Entries of one read. The store answers nothing else meanwhile."""

_BEFORE_ALL = "0-0"
"""The entry before the first one of any log."""

Entry = tuple[str, dict[bytes, bytes]]


class RedisEventCollection:
    """The log of events and the cursor of its files; SettingsError for a malformed `url`."""

    def __init__(self, url: str) -> None:
        self.address = address(url)
        self._redis = sync_client(url, _CONNECT_SECONDS, _REPLY_SECONDS)

    def now(self) -> float:
        """Return the unix seconds of the store's clock, which names the entries."""
        with translated_errors(self.address):
            now: Any = self._redis.time()
        return float(now[0] + now[1] / 1e6)

    def begin(self, count: int) -> CollectedBatch | None:
        """Return the events of the next file, at most `count`; None if the log has no event that is in no file."""
        with translated_errors(self.address):
            while True:
                entry, number, trimmed, until = self._cursor()
                after = entry or _BEFORE_ALL
                found = self._read(after, until or "+", count)
                if not (found or until):
                    return None
                fixed: Any = self._redis.eval(BEGIN_FILE, 1, COLLECTED, entry, until or found[-1][0])
                if fixed is not None:  # otherwise another collector has finished this file meanwhile
                    break
            if fixed.decode() != (until or found[-1][0]):
                found = self._read(after, fixed.decode(), count)
            removed = self._trimmed()
            lost = self._lost(after, number, removed - trimmed) if entry else 0
            last = int(found[-1][1].get(b"n", number)) if found else number
        events = [event for each in found if (event := _collected(*each)) is not None]
        return CollectedBatch(after, fixed.decode(), last, removed, events, len(found) - len(events), lost)

    def finish(self, batch: CollectedBatch) -> bool:
        """Move the cursor behind a batch that is in a file. False if another collector has moved the cursor."""
        entry = "" if batch.after == _BEFORE_ALL else batch.after
        with translated_errors(self.address):
            values = entry, batch.last, batch.number, batch.trimmed
            return bool(self._redis.eval(FINISH_FILE, 1, COLLECTED, *values))

    def collected_until(self) -> float:
        """Return the unix seconds, by the store's clock, of the last event that is in a file; 0 if none is."""
        with translated_errors(self.address):
            return int((self._cursor()[0] or _BEFORE_ALL).partition("-")[0]) / 1_000

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def _cursor(self) -> tuple[str, int, int, str]:
        found: Any = self._redis.hmget(COLLECTED, "entry", "number", "trimmed", "until")
        entry, number, trimmed, until = ((value or b"").decode() for value in found)
        return entry, int(number or 0), int(trimmed or 0), until

    def _read(self, after: str, last: str, count: int) -> list[Entry]:
        """The entries after one up to another; some at a time."""
        entries: list[Entry] = []
        while True:
            some = min(_READ_AT_ONCE, count - len(entries)) if last == "+" else _READ_AT_ONCE
            found: Any = self._redis.xrange(EVENT_LOG, f"({after}", last, count=some) if some else []
            entries += [(entry.decode(), fields or {}) for entry, fields in found]
            if not some or len(found) < some:
                return entries
            after = entries[-1][0]

    def _trimmed(self) -> int:
        """The entries that the limits of the log have removed since the store is in use."""
        found: Any = self._redis.hmget(counts_key(EVENT_LOG), "expired", "evicted")
        return sum(int(count or 0) for count in found)

    def _lost(self, after: str, number: int, removed: int) -> int:
        """How many of the entries that were removed since the last file came after it.

        None if an entry of that file is still in the log, which loses its oldest entries first. Otherwise the numbers
        show a gap, which may hold events of deleted users too.
        """
        if removed <= 0 or self._redis.xrange(EVENT_LOG, "-", after, count=1):
            return 0
        first: Any = self._redis.xrange(EVENT_LOG, f"({after}", "+", count=1)
        gap = int(first[0][1].get(b"n", 0)) - number - 1 if first else removed
        return max(0, min(gap, removed))


def _collected(entry: str, fields: dict[bytes, bytes]) -> CollectedEvent | None:
    """The event of an entry; None if it can't be read, or has text that no file can hold."""
    event = parse_event(fields.get(b"e"))
    if event is None:
        return None
    try:
        event_id, dataset = fields.get(b"i", b"").decode(), fields.get(b"s", b"").decode()
        for text in (event.user_id, event.item_id, event.event_type, *event.context, *event.context.values()):
            str(text).encode()
    except UnicodeError:
        return None
    return CollectedEvent(entry, event._replace(event_id=event_id), dataset)
