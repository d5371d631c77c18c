"""A user's precomputed list of recommended items, stored with their scores and shown until the user's next event.

It belongs to one generation (one trained set of models and tables), and names items by their row numbers there.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.lists.record_format import RecordFormat
from recsys.types import F32, I32, U16, Event

_FORMAT = RecordFormat("list", b"lst1", ["f8", "u4", "i4", "f4", "u2"])


@dataclass(frozen=True, slots=True, eq=False)
class UserList:
    """made_at: unix seconds. events: `digest` of the stored events that the list takes into account.

    items: [n] rows of the generation, best first. sources: [n] flags of the sources. scores: [n], of the ranker.
    """

    made_at: float
    events: int
    items: I32
    sources: U16
    scores: F32

    def pack(self) -> bytes:
        """The bytes that the store holds."""
        return _FORMAT.pack(self.made_at, self.events, self.items, self.scores, self.sources)

    @classmethod
    def unpack(cls, blob: bytes | None) -> UserList | None:
        """Inverse of `pack`; None for None. ValueError if the bytes are damaged or of another version."""
        if blob is None:
            return None
        made_at, events, items, scores, sources = _FORMAT.unpack(blob)
        return cls(float(made_at[0]), int(events[0]), items, sources, scores)


def digest(events: Sequence[Event]) -> int:
    """A number that changes when events of a user are added or removed; their order does not matter."""
    total = len(events)
    for event in events:
        key = repr((str(event.item_id), event.timestamp, event.event_type))
        total += zlib.crc32(key.encode("utf-8", "surrogatepass"))
    return total & 0xFFFFFFFF
