"""The record of a user at training time: the newest past events, all items already seen, and candidate items.

It names items by their row numbers in one generation (one trained set of models and tables), and is stored and deleted
with it. Later events are stored apart, by item id.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from recsys.lists.record_format import RecordFormat
from recsys.types import F64, I32, U8

_FORMAT = RecordFormat("record", b"usr1", ["f8", "f8", "i4", "i4", "i4", "u1"])

_NO_TIMES: F64 = np.zeros(0, np.float64)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """items, times, types: the newest interactions, oldest first. seen: every item row ever, ascending.

    candidates: precomputed item rows, best first. until: the time until which the dataset's `SeenRule` excludes each
    row of `seen` from recommendations, unix seconds; empty if the rule has neither types nor days.
    """

    items: I32
    times: F64
    types: U8
    seen: I32
    candidates: I32
    until: F64 = field(default_factory=lambda: _NO_TIMES)

    def excluded(self, now: float) -> I32:
        """The rows of `seen` that the dataset's `SeenRule` excludes from recommendations at a time."""
        return self.seen[self.until > now] if len(self.until) else self.seen

    @classmethod
    def empty(cls) -> UserRecord:
        """The record of a user without one."""
        none = np.zeros(0, np.int32)
        return cls(none, np.zeros(0, np.float64), np.zeros(0, np.uint8), none, none)

    def pack(self) -> bytes:
        """The bytes that the store holds."""
        return _FORMAT.pack(self.times, self.until, self.items, self.seen, self.candidates, self.types)

    @classmethod
    def unpack(cls, blob: bytes | None) -> UserRecord:
        """Inverse of `pack`; an empty record for None. ValueError if the bytes are damaged."""
        if blob is None:
            return cls.empty()
        times, until, items, seen, candidates, types = _FORMAT.unpack(blob)
        return cls(items, times, types, seen, candidates, until)
