"""A user's list in one generation, made by a flow: what to show until the user does something. Numpy only."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.lists.source_flags import pack_flags, unpack_flags
from recsys.types import F32, I32, U16, Event

_HEAD = struct.Struct("<IdII")
"""CRC-32 of all that follows it, when it was made, the digest of the events known, items."""


@dataclass(frozen=True, slots=True, eq=False)
class UserList:
    """made_at: unix seconds. events: `digest` of the stored events that it knows. items: [n] rows of the generation,
    best first. sources: [n] flags of the sources. scores: [n], the ranker's.
    """

    made_at: float
    events: int
    items: I32
    sources: U16
    scores: F32

    def pack(self) -> bytes:
        """As it stands in the store."""
        columns = self.items.astype(np.int32).tobytes(), self.scores.astype(np.float32).tobytes()
        head = _HEAD.pack(0, self.made_at, self.events, len(self.items))
        blob = head + b"".join(columns) + pack_flags(self.sources)
        return zlib.crc32(blob[4:]).to_bytes(4, "little") + blob[4:]

    @classmethod
    def unpack(cls, blob: bytes | None) -> UserList | None:
        """Inverse of `pack`; None where there is none, ValueError for what is no list."""
        if blob is None:
            return None
        if len(blob) < _HEAD.size:
            raise ValueError("the list is cut short")
        told, made_at, events, count = _HEAD.unpack_from(blob)
        if zlib.crc32(memoryview(blob)[4:]) != told:
            raise ValueError("the list is damaged")
        items = np.frombuffer(blob, np.int32, count, _HEAD.size)
        scores = np.frombuffer(blob, np.float32, count, _HEAD.size + items.nbytes)
        return cls(made_at, events, items, unpack_flags(blob, _HEAD.size + 2 * items.nbytes, count), scores)


def digest(events: Sequence[Event]) -> int:
    """Tells whether a user's stored events are still those that a list knew, in any order."""
    total = len(events)
    for event in events:
        total += zlib.crc32(
            repr((str(event.item_id), event.timestamp, event.event_type)).encode("utf-8", "surrogatepass")
        )
    return total & 0xFFFFFFFF
