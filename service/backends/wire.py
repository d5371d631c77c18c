"""What crosses a hop between the services: fixed-width rows of bytes, one a query, so that batches merge by stacking.

A row carries its generation's id: rows of two generations may share a batch while one replaces the other. It carries
the moment by which its answer must be there: nobody starts what comes too late. A row that failed says so in its own
status byte, so it can't fail its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from struct import Struct

import numpy as np
import numpy.typing as npt

from recsys import moments
from recsys.features import FEATURES
from recsys.history import History
from recsys.matching import FILTER_WORDS
from recsys.types import (
    CANDIDATES,
    CLOCK,
    CONTEXTS,
    EXTRA,
    F32,
    HISTORY_LENGTH,
    I32,
    PAD,
    U8,
    U16,
    Candidates,
    Histories,
)

SLATE = 100
"""Places of a slate, at most."""

_ASKED = [("generation", "S40"), ("due", "<f8")]  # due: unix seconds
_HISTORY = [
    *_ASKED,
    ("now", "<f8"),
    ("times", "<f8", HISTORY_LENGTH),
    ("history_items", "<i4", HISTORY_LENGTH),
    ("types", "u1", HISTORY_LENGTH),
    ("context", "u1", CLOCK + CONTEXTS),
    ("spare", "u1", 2),  # so that what follows is aligned, as kernels take it without a copy
]
_CANDIDATES = [
    ("items", "<i4", CANDIDATES),
    ("tower", "<f4", CANDIDATES),
    ("sources", "<u2", CANDIDATES),
]
_FILTER = ("filter", "<i4", FILTER_WORDS)  # `recsys.matching.packed`, 0 all over for none
HISTORY = np.dtype(_HISTORY)
"""What RETRIEVE, RANK and others of one history begin with."""

RETRIEVE = np.dtype([*_HISTORY, ("extra", "<i4", EXTRA), _FILTER])
RETRIEVED = np.dtype([*_CANDIDATES, ("failed", "u1")])
RANK = np.dtype([*_HISTORY, *_CANDIDATES])
RANKED = np.dtype([("scores", "<f4", CANDIDATES), ("failed", "u1")])
PLACE = np.dtype([*_HISTORY, ("item", "<i4")])
PLACED = np.dtype([("failed", "u1"), ("tower", "<f4"), ("place", "<i4")])
SIMILAR = np.dtype([*_ASKED, ("item", "<i4"), _FILTER])
SIMILAR_FOUND = np.dtype([("failed", "u1"), *_CANDIDATES, ("scores", "<f4", CANDIDATES)])
EXPLAIN = np.dtype([*_HISTORY, *_CANDIDATES, ("place", "<i4")])
EXPLAINED = np.dtype([("failed", "u1"), ("features", "<f4", len(FEATURES)), ("contributions", "<f4", len(FEATURES))])
FEATURES_OF = np.dtype([*_HISTORY, *_CANDIDATES, ("places", "<i4", SLATE)])
FEATURES_FOUND = np.dtype([("failed", "u1"), ("scores", "<f4", SLATE), ("features", "<f4", (SLATE, len(FEATURES)))])

WIDTHS = {
    "retrieve": RETRIEVE.itemsize,
    "complete": RANK.itemsize,
    "place": PLACE.itemsize,
    "similar": SIMILAR.itemsize,
    "rank": RANK.itemsize,
    "explain": EXPLAIN.itemsize,
    "features": FEATURES_OF.itemsize,
}
"""Bytes of a row that each API of retrieval and ranking is asked with."""

Rows = npt.NDArray[np.uint8]

_NAMED = "items", "extra", "places"
"""Fields of items or places that a query names, or does not."""

_HEAD, _NOW = Struct("<40sd"), Struct("<d")  # _ASKED, and others


def _begin(dtype: np.dtype, name: str) -> int:
    assert dtype.fields is not None
    return int(dtype.fields[name][1])


_NOW_AT, _TIMES_END, _ITEMS_END, _TYPES_END = (
    _begin(HISTORY, name) for name in ("now", "history_items", "types", "context")
)
_CLOCK_AT, _CONTEXT_AT = _TYPES_END, _TYPES_END + CLOCK
_CONTEXT_END = _CONTEXT_AT + CONTEXTS
_TOWER_AT, _SOURCES_AT = _begin(RETRIEVED, "tower"), _begin(RETRIEVED, "sources")
_PADDING = np.full(CANDIDATES, PAD, np.int32).tobytes()
_NO_SCORE = np.array([-np.inf], np.float32).tobytes()


def told(generation: str, due: float, history: History, now: float, context: U8) -> bytes:
    """A record of HISTORY. due: unix seconds. context: [CONTEXTS] rows.

    Records are written as bytes: as an array of fields one took dozens of calls of numpy, of which each is 20 to 50 us
    where others have driven its code from the cache (docs/decisions.md).
    """
    record = bytearray(_blank(HISTORY))
    _HEAD.pack_into(record, 0, generation.encode("ascii"), due)
    _NOW.pack_into(record, _NOW_AT, now)
    record[_CLOCK_AT:_CONTEXT_AT] = _clock(now // 3600)
    record[_CONTEXT_AT:_CONTEXT_END] = _raw(context, np.uint8)
    items, times, types = history
    if len(items) > HISTORY_LENGTH:
        items, times, types = items[-HISTORY_LENGTH:], times[-HISTORY_LENGTH:], types[-HISTORY_LENGTH:]
    columns = (
        (_ITEMS_END, _raw(items, np.int32)),
        (_TIMES_END, _raw(times, np.float64)),
        (_TYPES_END, _raw(types, np.uint8)),
    )
    for end, raw in columns:
        record[end - len(raw) : end] = raw
    return bytes(record)


@lru_cache(64)
def _clock(hour: float) -> bytes:
    """What `moments.clock` tells of all times in an hour since 1970."""
    return moments.clock(np.array([3600 * hour])).tobytes()


def named(items: I32, tower: F32, sources: U16) -> bytes:
    """The candidates of a query as they stand behind its history: CANDIDATES at most, padded on the right."""
    short = CANDIDATES - len(items)
    told = _raw(items, np.int32), _PADDING[: 4 * short], _raw(tower, np.float32), bytes(4 * short)
    return b"".join((*told, _raw(sources, np.uint16), bytes(2 * short)))


def _raw(column: np.ndarray, kind: type) -> bytes:
    return np.asarray(column, kind).tobytes()


def asking(dtype: np.dtype, told: Sequence[bytes]) -> Rows:
    """Records of a `dtype` that begin so, as bytes [B, width]. Items they may name further on are PAD."""
    rest = _blank(dtype)[len(told[0]) :] if told else b""
    return stacked([each + rest for each in told], dtype)


@cache
def _blank(dtype: np.dtype) -> bytes:
    """A record that says nothing."""
    record = np.zeros(1, dtype)
    for name in (*_NAMED, "history_items"):
        if name in dtype.names:  # type: ignore[operator]  # it has some
            record[name] = PAD
    return record.tobytes()


@cache
def failure(dtype: np.dtype) -> bytes:
    """A record that failed."""
    record = np.zeros(1, dtype)
    record["failed"] = 1
    return record.tobytes()


def found(record: bytearray) -> tuple[I32, F32, U16]:
    """The candidates in a record of RETRIEVED, in its own memory."""
    items = np.frombuffer(record, np.int32, CANDIDATES)
    tower = np.frombuffer(record, np.float32, CANDIDATES, _TOWER_AT)
    sources = np.frombuffer(record, np.uint16, CANDIDATES, _SOURCES_AT)
    end = record.find(_PADDING[:4], 0, _TOWER_AT)  # no row has such bytes, nor have two that stand side by side
    count = CANDIDATES if end < 0 else end // 4
    return items[:count], tower[:count], sources[:count]


def scores(record: bytearray, count: int) -> tuple[F32, bool]:
    """The first so many scores in a record of RANKED, in its own memory; and whether none of them is -inf."""
    told = np.frombuffer(record, np.float32, count)
    return told, record.find(_NO_SCORE, 0, told.nbytes) < 0 or bool((told != -np.inf).all())


def as_table(rows: Rows, dtype: np.dtype) -> np.ndarray:
    """Bytes [B, width] as B records of `dtype`; ValueError where the width is another's."""
    if rows.shape[1] != dtype.itemsize:
        raise ValueError(f"Rows of a size of {rows.shape[1]} bytes; {dtype.itemsize} are asked for.")
    # A view as records asks Python whether that is safe, 12 us where no cache has it.
    return np.ndarray(len(rows), dtype, rows if rows.flags.c_contiguous else np.ascontiguousarray(rows))


def as_bytes(table: np.ndarray) -> Rows:
    """Inverse of `as_table`."""
    return table.view(np.uint8).reshape(len(table), table.dtype.itemsize)


def heads(rows: Rows) -> list[tuple[str, float]]:
    """The generation of each record, and when its answer is due."""
    told = [_HEAD.unpack_from(row) for row in rows]
    return [(generation.rstrip(b"\0").decode("ascii", "replace"), due) for generation, due in told]


def _some(column: I32, none: int) -> bool:
    """Whether a row has more than that in a field that is filled from its first place on."""
    return any(first != none for first in column[:, 0].tolist())


def stacked(records: Sequence[bytes], dtype: np.dtype) -> Rows:
    """Records of a `dtype` as bytes [B, width], which may be written to, as kernels want it."""
    return np.frombuffer(bytearray().join(records), np.uint8).reshape(len(records), dtype.itemsize)


def each(table: np.ndarray) -> list[bytes]:
    """Records one by one."""
    return [record.tobytes() for record in table]


def retrieved(found: Candidates) -> list[bytes]:
    """Records of RETRIEVED."""
    columns = found.items, found.tower, found.sources
    return [named(*(column[row] for column in columns)) + b"\0" for row in range(len(found))]


def ranked(scores: F32) -> list[bytes]:
    """Records of RANKED, of scores [B, CANDIDATES]."""
    return [_raw(row, np.float32) + b"\0" for row in scores]


def histories(table: np.ndarray) -> Histories:
    """The histories in records of RETRIEVE or RANK."""
    return Histories(table["history_items"], table["times"], table["types"], table["now"], table["context"])


def filters(table: np.ndarray) -> I32 | None:
    """The filters in records of RETRIEVE or SIMILAR; None where nobody has one."""
    told: I32 = table["filter"]
    return told if _some(told, 0) else None


def extra(table: np.ndarray) -> I32 | None:
    """The items that records of RETRIEVE bring along; None where nobody does."""
    told: I32 = table["extra"]
    return told if _some(told, PAD) else None


def candidates(table: np.ndarray) -> Candidates:
    """The candidates in records of RETRIEVED or RANK."""
    return Candidates(table["items"], table["tower"], table["sources"])


def put_candidates(table: np.ndarray, rows: slice | np.ndarray, found: Candidates) -> None:
    """Write candidates into `rows` of records that have some, padding on the right."""
    width = found.items.shape[1]
    for name, values, none in (("items", found.items, PAD), ("tower", found.tower, 0), ("sources", found.sources, 0)):
        column = table[name]
        column[rows, :width] = values
        column[rows, width:] = none


def has_failed(record: bytes | bytearray) -> bool:
    """Whether a record of RETRIEVED or RANKED says so, in its last byte."""
    return record[-1] != 0


def failed(table: np.ndarray) -> U8:
    """Which records of an answer failed."""
    flags: U8 = table["failed"]
    return flags
