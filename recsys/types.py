"""The values that travel between data, training and serving. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntFlag
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Id = str | int
"""A user's or an item's id, kept as it came."""

LOAD_TEST_USERS = "load-test:"
"""Ids of the users of a load test begin so. Their events form their own history and nothing else: the log of all
users, trending, lists and impressions do not contain these users."""


def is_load_test(user_id: Id) -> bool:
    """Whether a user belongs to a load test."""
    return isinstance(user_id, str) and user_id.startswith(LOAD_TEST_USERS)


F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
Bool = npt.NDArray[np.bool_]

PAD = -1
"""The row of no item: left padding of a history, right padding of candidates."""


def padded(rows: int, width: int) -> I32:
    """Rows of PAD, [rows, width] int32. `np.full` takes 5 us more, in Python, where no cache has its code."""
    none = np.empty((rows, width), np.int32)
    none.fill(PAD)
    return none


HISTORY_LENGTH = 100
"""Interactions of a user that the towers and the ranker see, newest last. At the tower's longest decay, .98, what
lies further back weighs under .14 of the newest."""

CLOCK, CONTEXTS = 2, 4
"""Context of a query: its hour and its weekday, and the columns that a dataset may name, at most."""

CANDIDATES = 512
"""Candidates a query carries from retrieval to ranking, at most."""

EXTRA = 32
"""Candidates that a query may bring along to retrieval, at most: what is trending, what a rule pins."""


FLAG_BITS = 16
"""Bits of the flags that say which sources named a candidate: arrays of them are uint16."""


class Source(IntFlag):
    """The flags of this repository's sources. Lists and impressions store flags: no bit gets another meaning.

    `recsys.retrieval.registry` has every source. A source that is added takes a bit from 1 << 8 on.
    """

    TOWER = 1
    COVISIT = 2
    POPULAR = 4
    PRECOMPUTED = 8
    FRESH = 16
    REPEAT = 32
    EASE = 64
    TRENDING = 128


class Event(NamedTuple):
    """Something a user did: an interaction as it arrives; context: a value for some of the context columns."""

    user_id: Id
    item_id: Id
    timestamp: float
    event_type: str = "click"
    event_id: str = ""
    context: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Histories:
    """The past of B users, newest last, padded on the left.

    items: [B, H] int32 item rows, PAD where there is none. times: [B, H] float64 unix seconds.
    types: [B, H] uint8 rows of the spec's event types. now: [B] float64 unix seconds, the moment asked about.
    context: [B, CLOCK + CONTEXTS] uint8, what is known of that moment: `moments.clock`, then rows of the spec's
    context columns; 0 is unknown.
    """

    items: I32
    times: F64
    types: U8
    now: F64
    context: U8

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def empty(cls, now: F64, length: int = HISTORY_LENGTH) -> Histories:
        """Users who did nothing until `now` [B], in a context unknown."""
        batch = len(now)
        return cls(
            np.full((batch, length), PAD, np.int32),
            np.zeros((batch, length), np.float64),
            np.zeros((batch, length), np.uint8),
            np.asarray(now, np.float64),
            np.zeros((batch, CLOCK + CONTEXTS), np.uint8),
        )

    def put(self, row: int, items: I32, times: F64, types: U8) -> None:
        """Write one user's past (oldest first) into `row`, keeping the newest that fit."""
        length = self.items.shape[1]
        count = min(len(items), length)
        if count:
            self.items[row, -count:] = items[-count:]
            self.times[row, -count:] = times[-count:]
            self.types[row, -count:] = types[-count:]

    def newest(self, count: int) -> Histories:
        """The same users as if they had done only the newest `count` things."""
        items = self.items.copy()
        items[:, : max(items.shape[1] - count, 0)] = PAD
        return replace(self, items=items)

    def only(self, kept: Bool) -> Histories:
        """The same users as if they had done only what `kept` [B, H] marks, closed up to the right."""
        order = np.argsort(kept, axis=1, kind="stable")
        past = (np.where(kept, self.items, PAD), self.times, self.types)
        items, times, types = (np.take_along_axis(each, order, axis=1) for each in past)
        return replace(self, items=items, times=times, types=types)

    def take(self, rows: slice | I64 | Bool) -> Histories:
        """The users at `rows`."""
        return Histories(self.items[rows], self.times[rows], self.types[rows], self.now[rows], self.context[rows])


@dataclass(frozen=True, slots=True)
class Candidates:
    """What retrieval found for B queries, best tower score first, padded on the right.

    items: [B, K] int32 item rows, PAD where there is none. tower: [B, K] float32 scores.
    sources: [B, K] uint16, the flags of the sources that named each.
    """

    items: I32
    tower: F32
    sources: U16

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: slice | I64 | Bool) -> Candidates:
        """The queries at `rows`."""
        return Candidates(self.items[rows], self.tower[rows], self.sources[rows])
