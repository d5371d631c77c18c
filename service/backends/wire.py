"""The wire format of calls of retrieval and ranking: bytes, one row of fixed width for each query, joined to batches.

A row has the id of its generation (trained set of models and tables): a batch may hold rows of two generations while
one replaces the other. It has the time at which its answer is due: a late row is not computed. A row of an answer has a
byte that marks a failure, so a row fails alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from struct import Struct

import numpy as np
import numpy.typing as npt

from recsys.filters.compiled_conditions import FILTER_WORDS
from recsys.kernels import time_features
from recsys.model.feature_spec import OWN_COLUMNS
from recsys.model.features import FEATURES
from recsys.model.history import History
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
"""Places of a slate (the ordered list of recommended items), at most."""

_HEADER = [("generation", "S40"), ("due", "<f8")]  # due: unix seconds
_HISTORY = [
    *_HEADER,
    ("now", "<f8"),
    ("times", "<f8", HISTORY_LENGTH),
    ("history_items", "<i4", HISTORY_LENGTH),
    ("types", "u1", HISTORY_LENGTH),
    ("context", "u1", CLOCK + CONTEXTS),
    ("padding", "u1", 2),  # aligns what follows: kernels then take it without a copy
]
_CANDIDATES = [
    ("items", "<i4", CANDIDATES),
    ("tower", "<f4", CANDIDATES),
    ("sources", "<u2", CANDIDATES),
]
_FILTER = ("filter", "<i4", FILTER_WORDS)  # `recsys.filters.compiled_conditions.packed`; zeros for none
_WIDTH = len(FEATURES) + 2 * OWN_COLUMNS  # of the features of any dataset; zeros behind those of a narrower one
HISTORY = np.dtype(_HISTORY)
"""The beginning of RETRIEVE, RANK and the other records of one history."""

RETRIEVE = np.dtype([*_HISTORY, ("extra", "<i4", EXTRA), _FILTER])
RETRIEVED = np.dtype([*_CANDIDATES, ("failed", "u1")])
RANK = np.dtype([*_HISTORY, *_CANDIDATES])
RANKED = np.dtype([("scores", "<f4", CANDIDATES), ("failed", "u1")])
PLACE = np.dtype([*_HISTORY, ("item", "<i4")])
PLACED = np.dtype([("failed", "u1"), ("tower", "<f4"), ("place", "<i4")])
SIMILAR = np.dtype([*_HEADER, ("item", "<i4"), _FILTER])
SIMILAR_FOUND = np.dtype([("failed", "u1"), *_CANDIDATES, ("scores", "<f4", CANDIDATES)])
FEATURES_OF = np.dtype([*_HISTORY, *_CANDIDATES, ("places", "<i4", SLATE)])
FEATURES_FOUND = np.dtype([("failed", "u1"), ("scores", "<f4", SLATE), ("features", "<f4", (SLATE, _WIDTH))])
EXPLAINED = np.dtype([("failed", "u1"), *((name, "<f4", (SLATE, _WIDTH)) for name in ("features", "contributions"))])
"""Answers FEATURES_OF, too."""

WIDTHS = {
    "retrieve": RETRIEVE.itemsize,
    "complete": RANK.itemsize,
    "place": PLACE.itemsize,
    "similar": SIMILAR.itemsize,
    "rank": RANK.itemsize,
    "explain": FEATURES_OF.itemsize,
    "features": FEATURES_OF.itemsize,
}
"""Bytes of a row in a call, by the API of retrieval or ranking."""

Rows = npt.NDArray[np.uint8]

_PADDED = "history_items", "items", "extra", "places"
"""Fields that are PAD if a query has no item at a place."""

_HEAD, _NOW = Struct("<40sd"), Struct("<d")  # _HEADER, and others
_AT = {name: int(field[1]) for name, field in (HISTORY.fields or {}).items()}
_CLOCK_AT, _CONTEXT_AT = _AT["context"], _AT["context"] + CLOCK
_TOWER_AT, _SOURCES_AT = 4 * CANDIDATES, 8 * CANDIDATES  # of a record of RETRIEVED
_PADDING = np.full(CANDIDATES, PAD, np.int32).tobytes()


def history_record(generation: str, due: float, history: History, now: float, context: U8) -> bytes:
    """A record of HISTORY. due: unix seconds. context: [CONTEXTS] rows.

    It is written as bytes: the fields of an array take dozens of calls of numpy, 20 to 50 us each while caches are cold
    (docs/decisions.md).
    """
    record = bytearray(_blank(HISTORY))
    _HEAD.pack_into(record, 0, generation.encode("ascii"), due)
    _NOW.pack_into(record, _AT["now"], now)
    record[_CLOCK_AT:_CONTEXT_AT] = _clock(now // 3600)
    record[_CONTEXT_AT : _AT["padding"]] = _raw(context, np.uint8)
    items, times, types = history
    columns = (items, np.int32, _AT["types"]), (times, np.float64, _AT["history_items"]), (types, np.uint8, _CLOCK_AT)
    for column, kind, end in columns:
        raw = _raw(column[-HISTORY_LENGTH:], kind)
        record[end - len(raw) : end] = raw
    return bytes(record)


@lru_cache(64)
def _clock(hour: float) -> bytes:
    """The columns of `time_features.clock` for an hour since 1970."""
    return time_features.clock(np.array([3600 * hour])).tobytes()


def candidate_record(items: I32, tower: F32, sources: U16) -> bytes:
    """The candidates of a query, which follow its history: CANDIDATES at most, padded on the right."""
    short = CANDIDATES - len(items)
    head = _raw(items, np.int32), _PADDING[: 4 * short], _raw(tower, np.float32), bytes(4 * short)
    return b"".join((*head, _raw(sources, np.uint16), bytes(2 * short)))


def _raw(column: np.ndarray, kind: type) -> bytes:
    return np.asarray(column, kind).tobytes()


def query_rows(dtype: np.dtype, beginnings: Sequence[bytes]) -> Rows:
    """Records of a `dtype` with these beginnings, as bytes [B, width]. The rest is empty."""
    rest = _blank(dtype)[len(beginnings[0]) :] if beginnings else b""
    return stacked([each + rest for each in beginnings], dtype)


@cache
def _blank(dtype: np.dtype) -> bytes:
    """An empty record."""
    record = np.zeros(1, dtype)
    for name in set(_PADDED) & set(dtype.names or ()):
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
    end = record.find(_PADDING[:4], 0, _TOWER_AT)  # no row of an item has such bytes, nor have two neighbours
    count = CANDIDATES if end < 0 else end // 4
    return items[:count], tower[:count], sources[:count]


def scores(record: bytearray, count: int) -> tuple[F32, bool]:
    """The first `count` scores in a record of RANKED, in its own memory; and whether none of them is -inf."""
    scored = np.frombuffer(record, np.float32, count)
    return scored, bool((scored != -np.inf).all())


def as_table(rows: Rows, dtype: np.dtype) -> np.ndarray:
    """Bytes [B, width] as B records of `dtype`; ValueError for another width."""
    if rows.shape[1] != dtype.itemsize:
        raise ValueError(f"Rows have a size of {rows.shape[1]} bytes and not of {dtype.itemsize}.")
    # Not a view: numpy checks in Python whether a view is safe, 12 us while caches are cold.
    return np.ndarray(len(rows), dtype, rows if rows.flags.c_contiguous else np.ascontiguousarray(rows))


def as_bytes(table: np.ndarray) -> Rows:
    """Inverse of `as_table`."""
    return table.view(np.uint8).reshape(len(table), table.dtype.itemsize)


def heads(rows: Rows) -> list[tuple[str, float]]:
    """The generation of each record, and when its answer is due."""
    return [(name.rstrip(b"\0").decode("ascii", "replace"), due) for name, due in map(_HEAD.unpack_from, rows)]


def stacked(records: Sequence[bytes], dtype: np.dtype) -> Rows:
    """Records of a `dtype` as bytes [B, width], which may be written to: kernels require that."""
    return np.frombuffer(bytearray().join(records), np.uint8).reshape(len(records), dtype.itemsize)


def each(table: np.ndarray) -> list[bytes]:
    """Records one by one."""
    return [record.tobytes() for record in table]


def retrieved(found: Candidates) -> list[bytes]:
    """Records of RETRIEVED."""
    columns = found.items, found.tower, found.sources
    return [candidate_record(*(column[row] for column in columns)) + b"\0" for row in range(len(found))]


def ranked(scores: F32) -> list[bytes]:
    """Records of RANKED, of scores [B, CANDIDATES]."""
    return [_raw(row, np.float32) + b"\0" for row in scores]


def similar_found(found: Candidates, scores: F32) -> bytes:
    """A record of SIMILAR_FOUND, of one row of candidates and scores."""
    scored = _raw(scores[0], np.float32)
    columns = found.items[0], found.tower[0], found.sources[0]
    return b"".join((b"\0", candidate_record(*columns), scored, bytes(4 * CANDIDATES - len(scored))))


def histories(table: np.ndarray) -> Histories:
    """The histories in records of RETRIEVE or RANK."""
    return Histories(table["history_items"], table["times"], table["types"], table["now"], table["context"])


def filters(table: np.ndarray) -> I32 | None:
    """The filters in records of RETRIEVE or SIMILAR; None if no record has one."""
    return _unless_empty(table["filter"], 0)


def extra(table: np.ndarray) -> I32 | None:
    """The further items in records of RETRIEVE; None if no record has one."""
    return _unless_empty(table["extra"], PAD)


def _unless_empty(column: I32, none: int) -> I32 | None:
    return column if any(first != none for first in column[:, 0].tolist()) else None


def candidates(table: np.ndarray) -> Candidates:
    """The candidates in records of RANK."""
    return Candidates(table["items"], table["tower"], table["sources"])


def has_failed(record: bytes | bytearray) -> bool:
    """Whether a record of RETRIEVED or RANKED failed, by its last byte."""
    return record[-1] != 0


def failed(table: np.ndarray) -> U8:
    """Which records of an answer failed."""
    flags: U8 = table["failed"]
    return flags
