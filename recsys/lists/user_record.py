"""A user's record in a generation: the history, all items ever seen and the precomputed candidates, packed.

Item rows mean something in one generation only, so records live and die with it. What a user did since is kept
apart, by item id (`store.base.UserStore`).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np

from recsys.types import F64, I32, U8

_HEAD = struct.Struct("<IIIII4x")
"""CRC-32 of all that follows it, the lengths, and padding that aligns the times: a record is read alone, so the hash of
its part does not cover it."""

_NO_TIMES: F64 = np.zeros(0, np.float64)

_CHECKED = slice(4, None)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """items, times, types: the newest interactions, oldest first. seen: every item row ever, ascending.

    candidates: precomputed item rows, best first. until: until when the dataset's `SeenRule` keeps each of `seen` out
    of slates, unix seconds; empty where the rule has neither types nor days.
    """

    items: I32
    times: F64
    types: U8
    seen: I32
    candidates: I32
    until: F64 = field(default_factory=lambda: _NO_TIMES)

    def hidden(self, now: float) -> I32:
        """Rows of `seen` that the dataset's `SeenRule` keeps out of slates at a moment."""
        return self.seen[self.until > now] if len(self.until) else self.seen

    @classmethod
    def empty(cls) -> UserRecord:
        """A user the generation doesn't know."""
        none = np.zeros(0, np.int32)
        return cls(none, np.zeros(0, np.float64), np.zeros(0, np.uint8), none, none)

    def pack(self) -> bytes:
        """As it stands in the store."""
        lengths = len(self.items), len(self.seen), len(self.candidates), len(self.until)
        arrays = (self.times, self.until, self.items, self.seen, self.candidates, self.types)
        blob = _HEAD.pack(0, *lengths) + b"".join(array.tobytes() for array in arrays)
        return zlib.crc32(blob[_CHECKED]).to_bytes(4, "little") + blob[_CHECKED]

    @classmethod
    def unpack(cls, blob: bytes | None) -> UserRecord:
        """Inverse of `pack`; None is an unknown user, ValueError a record that is none.

        Arrays of one copy that may be written to: a kernel would have a copy made of each.
        """
        if blob is None:
            return cls.empty()
        if len(blob) < _HEAD.size:
            raise ValueError("the record is cut short")
        told, history, seen, candidates, timed = _HEAD.unpack_from(blob)
        if zlib.crc32(memoryview(blob)[_CHECKED]) != told:
            raise ValueError("the record is damaged")
        blob, at = bytearray(blob), _HEAD.size  # type: ignore[assignment]
        times = np.frombuffer(blob, np.float64, history, at)
        at += times.nbytes
        until = np.frombuffer(blob, np.float64, timed, at)
        at += until.nbytes
        items = np.frombuffer(blob, np.int32, history, at)
        at += items.nbytes
        rows = np.frombuffer(blob, np.int32, seen, at)
        at += rows.nbytes
        precomputed = np.frombuffer(blob, np.int32, candidates, at)
        at += precomputed.nbytes
        return cls(items, times, np.frombuffer(blob, np.uint8, history, at), rows, precomputed, until)
