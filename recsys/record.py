"""A user's record in a generation: the history, everything seen and the precomputed candidates, packed.

Item rows mean something in one generation only, so records live and die with it. What a user did since is kept
apart, by item id (`store.base.UserStore`).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from recsys.types import F64, I32, U8

_HEAD = struct.Struct("<IIII")
"""CRC-32 of all that follows it, and the lengths: a record is read alone, out of reach of its part's hash."""

_CHECKED = slice(4, None)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """items, times, types: the newest interactions, oldest first. seen: every item row ever, ascending.

    candidates: precomputed item rows, best first.
    """

    items: I32
    times: F64
    types: U8
    seen: I32
    candidates: I32

    @classmethod
    def empty(cls) -> UserRecord:
        """A user the generation doesn't know."""
        none = np.zeros(0, np.int32)
        return cls(none, np.zeros(0, np.float64), np.zeros(0, np.uint8), none, none)

    def pack(self) -> bytes:
        """As it stands in the store."""
        lengths = len(self.items), len(self.seen), len(self.candidates)
        arrays = (self.times, self.items, self.seen, self.candidates, self.types)
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
        told, history, seen, candidates = _HEAD.unpack_from(blob)
        if zlib.crc32(memoryview(blob)[_CHECKED]) != told:
            raise ValueError("the record is damaged")
        blob, at = bytearray(blob), _HEAD.size  # type: ignore[assignment]
        times = np.frombuffer(blob, np.float64, history, at)
        at += times.nbytes
        items = np.frombuffer(blob, np.int32, history, at)
        at += items.nbytes
        rows = np.frombuffer(blob, np.int32, seen, at)
        at += rows.nbytes
        precomputed = np.frombuffer(blob, np.int32, candidates, at)
        at += precomputed.nbytes
        return cls(items, times, np.frombuffer(blob, np.uint8, history, at), rows, precomputed)
