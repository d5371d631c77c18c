"""The types that training and serving exchange: ids, events, and numpy arrays of users' histories and candidate items.

In arrays an item is an int32 row number in the item tables of one generation (one trained set of models and tables).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntFlag, StrEnum
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Id = str | int
"""The id of a user or an item, of the type in which it was sent."""

LOAD_TEST_USERS = "load-test:"
"""The prefix of user ids of load tests. Their events are in their own histories alone: not in the log of all users, in
trending items, lists and impressions."""


def is_load_test(user_id: Id) -> bool:
    """Whether a user belongs to a load test."""
    return isinstance(user_id, str) and user_id.startswith(LOAD_TEST_USERS)


F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
Bool = npt.NDArray[np.bool_]

PAD = -1
"""The row without an item: left padding of a history, right padding of candidates."""


def padded(rows: int, width: int) -> I32:
    """PAD in an array [rows, width] int32. `np.full` takes 5 us more with cold caches."""
    empty = np.empty((rows, width), np.int32)
    empty.fill(PAD)
    return empty


HISTORY_LENGTH = 100
"""The newest interactions of a user, which towers and ranker read. At the tower's longest decay, .98, older ones weigh
less than .14 of the newest."""

CLOCK, CONTEXTS = 2, 4
"""Columns of a context: hour and weekday, and at most so many columns of the dataset."""

CANDIDATES = 512
"""Candidates of a query from retrieval to ranking, at most."""

EXTRA = 32
"""Candidates that a query adds to retrieval, at most, such as trending and pinned items."""


FLAG_BITS = 16
"""Bits of the flags of sources, in arrays of uint16."""


class Source(IntFlag):
    """The flags of the candidate sources. Lists and impressions store flags, so a bit keeps its meaning.

    `recsys.retrieval.registry` has every source. A new source has a bit from 1 << 8 on.
    """

    TOWER = 1
    COVISIT = 2
    POPULAR = 4
    PRECOMPUTED = 8
    FRESH = 16
    REPEAT = 32
    EASE = 64
    TRENDING = 128


class Mode(StrEnum):
    """How a slate is made: from a precomputed list, from that list ranked again, or computed now."""

    AUTO = "auto"
    BATCH = "batch"
    HYBRID = "hybrid"
    REALTIME = "realtime"


class Event(NamedTuple):
    """An interaction of a user as it was sent; context: values of some context columns."""

    user_id: Id
    item_id: Id
    timestamp: float
    event_type: str = "click"
    event_id: str = ""
    context: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Histories:
    """The histories of B users, newest event last, padded on the left, each with a query.

    items: [B, H] int32 item rows, PAD at padding. times: [B, H] float64 unix seconds. types: [B, H] uint8 rows of the
    spec's event types. now: [B] float64 unix seconds, the time of the query. context: [B, CLOCK + CONTEXTS] uint8, of
    the query: `time_features.clock`, then rows of the spec's context columns; 0 is unknown.
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
        """Users without events, with queries at `now` [B] in an unknown context."""
        batch = len(now)
        return cls(
            np.full((batch, length), PAD, np.int32),
            np.zeros((batch, length), np.float64),
            np.zeros((batch, length), np.uint8),
            np.asarray(now, np.float64),
            np.zeros((batch, CLOCK + CONTEXTS), np.uint8),
        )

    def put(self, row: int, items: I32, times: F64, types: U8) -> None:
        """Write the newest events of one user, given oldest first, into `row`."""
        length = self.items.shape[1]
        count = min(len(items), length)
        if count:
            self.items[row, -count:] = items[-count:]
            self.times[row, -count:] = times[-count:]
            self.types[row, -count:] = types[-count:]

    def only(self, kept: Bool) -> Histories:
        """The histories with the events of the mask `kept` [B, H] alone, without gaps."""
        order = np.argsort(kept, axis=1, kind="stable")
        past = (np.where(kept, self.items, PAD), self.times, self.types)
        items, times, types = (np.take_along_axis(each, order, axis=1) for each in past)
        return replace(self, items=items, times=times, types=types)

    def take(self, rows: slice | I64 | Bool) -> Histories:
        """The users at `rows`."""
        return Histories(self.items[rows], self.times[rows], self.types[rows], self.now[rows], self.context[rows])


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of B queries, best tower score first, padded on the right.

    items: [B, K] int32 item rows, PAD at padding. tower: [B, K] float32 scores. sources: [B, K] uint16 flags of the
    sources that found each candidate.
    """

    items: I32
    tower: F32
    sources: U16

    def __len__(self) -> int:
        return len(self.items)

    def first(self, most: int) -> Candidates:
        """At most so many candidates of each query."""
        if self.items.shape[1] <= most:
            return self
        items, tower, sources = self.items[:, :most], self.tower[:, :most], self.sources[:, :most]
        return Candidates(items.copy(), tower.copy(), sources.copy())  # contiguous, as kernels expect them

    def take(self, rows: slice | I64 | Bool) -> Candidates:
        """The queries at `rows`."""
        return Candidates(self.items[rows], self.tower[rows], self.sources[rows])
