"""What crosses a hop between the services: fixed-width rows of bytes, one a query, so that batches merge by stacking.

A row carries its generation's id: rows of two generations may share a batch while one replaces the other. It carries
the moment by which its answer must be there: nobody starts what comes too late. A row that failed says so in its own
status byte, so it can't fail its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from recsys.allowed import FILTER_TOKENS
from recsys.features import FEATURES
from recsys.types import CANDIDATES, CLOCK, CONTEXTS, EXTRA, HISTORY_LENGTH, I32, PAD, U8, Candidates, Histories

SLATE = 100
"""Places of a slate, at most."""

_ASKED = [("generation", "S40"), ("due", "<f8")]  # due: unix seconds
_HISTORY = [
    *_ASKED,
    ("history_items", "<i4", HISTORY_LENGTH),
    ("times", "<f8", HISTORY_LENGTH),
    ("types", "u1", HISTORY_LENGTH),
    ("now", "<f8"),
    ("context", "u1", CLOCK + CONTEXTS),
]
_CANDIDATES = [
    ("items", "<i4", CANDIDATES),
    ("tower", "<f4", CANDIDATES),
    ("sources", "u1", CANDIDATES),
]
_FILTER = ("filter", "<i4", FILTER_TOKENS)  # `recsys.allowed.packed`, 0 all over for none
HISTORY = np.dtype(_HISTORY)
"""What RETRIEVE, RANK and others of one history begin with."""

RETRIEVE = np.dtype([*_HISTORY, ("extra", "<i4", EXTRA), _FILTER])
RETRIEVED = np.dtype([("failed", "u1"), *_CANDIDATES])
RANK = np.dtype([*_HISTORY, *_CANDIDATES])
RANKED = np.dtype([("failed", "u1"), ("scores", "<f4", CANDIDATES)])
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


def told(generations: list[str], dues: list[float], past: Histories) -> Rows:
    """Records of HISTORY as bytes, one a query; dues: unix seconds."""
    table = np.zeros(len(past), HISTORY)
    table["generation"] = [generation.encode("ascii") for generation in generations]
    table["due"] = dues
    table["history_items"] = past.items
    table["times"] = past.times
    table["types"] = past.types
    table["now"] = past.now
    table["context"] = past.context
    return as_bytes(table)


def asking(dtype: np.dtype, histories: Sequence[U8] | Rows) -> np.ndarray:
    """Records of a `dtype` that begins with a history, one for each row of `told`. Items they may name are PAD."""
    table = np.zeros(len(histories), dtype)
    as_bytes(table)[:, : HISTORY.itemsize] = histories
    for name in _NAMED:
        if name in dtype.names:  # type: ignore[operator]  # it has some
            table[name] = PAD
    return table


def as_table(rows: Rows, dtype: np.dtype) -> np.ndarray:
    """Bytes [B, width] as B records of `dtype`; ValueError where the width is another's."""
    table: np.ndarray = np.ascontiguousarray(rows).view(dtype)[:, 0]
    return table


def as_bytes(table: np.ndarray) -> Rows:
    """Inverse of `as_table`."""
    return table.view(np.uint8).reshape(len(table), table.dtype.itemsize)


def by_generation(table: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The row numbers of each generation in a batch."""
    ids = table["generation"]
    # Nearly always it is one, and to sort strings of 40 bytes takes longer than to see that they are the same.
    if (ids == ids[:1]).all():
        if len(ids):
            yield ids[0].decode("ascii", "replace"), np.arange(len(ids))
        return
    for name in np.unique(ids):
        yield name.decode("ascii", "replace"), np.flatnonzero(ids == name)


def histories(table: np.ndarray) -> Histories:
    """The histories in records of RETRIEVE or RANK."""
    return Histories(table["history_items"], table["times"], table["types"], table["now"], table["context"])


def filters(table: np.ndarray) -> I32 | None:
    """The filters in records of RETRIEVE or SIMILAR; None where nobody has one."""
    told: I32 = table["filter"]
    return told if told[:, 0].any() else None


def candidates(table: np.ndarray) -> Candidates:
    """The candidates in records of RETRIEVED or RANK."""
    return Candidates(table["items"], table["tower"], table["sources"])


def put_candidates(table: np.ndarray, rows: slice | np.ndarray, found: Candidates) -> None:
    """Write candidates into `rows` of records of RETRIEVED or RANK, padding on the right."""
    width = found.items.shape[1]
    for name, values, none in (("items", found.items, PAD), ("tower", found.tower, 0), ("sources", found.sources, 0)):
        column = table[name]
        column[rows, :width] = values
        column[rows, width:] = none


def failed(table: np.ndarray) -> U8:
    """Which records of an answer failed."""
    flags: U8 = table["failed"]
    return flags
