"""The record in which a shard of retrieval answers: its lists of candidates, which the gateway merges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys.generation.shard import Shard
from recsys.kernels.top_k import NO_KEY
from recsys.retrieval.registry import RETRIEVED
from recsys.retrieval.shard_lists import ListLayout, ShardLists
from recsys.types import CANDIDATES, EXTRA, HISTORY_LENGTH
from service.backends import wire

_LISTS = len(RETRIEVED) + 1  # of the sources, and of the items that come with the query
_ROOM = CANDIDATES + EXTRA + len(RETRIEVED) * HISTORY_LENGTH

FOUND = np.dtype(
    [
        ("keys", "<u8", _ROOM),
        ("starts", "<i8", _LISTS + 1),
        ("shares", "<i8", _LISTS),
        ("spare", "<i8"),
        ("tower", "<f4", _ROOM),
        ("flags", "<u2", _LISTS),
        ("shard", "u1", 2),  # number and count
        ("failed", "u1"),
    ]
)
"""`ShardLists` of one query."""


def found_records(lists: ShardLists, shard: Shard) -> list[bytes]:
    """Records of FOUND. Lists that a generation does not have are empty."""
    table, layout, width = np.zeros(len(lists.keys), FOUND), lists.layout, lists.keys.shape[1]
    table["keys"][:, :width], table["tower"][:, :width] = lists.keys, lists.tower
    table["starts"], table["spare"] = layout.starts[-1], layout.spare
    for name in ("starts", "shares", "flags"):
        column = getattr(layout, name)
        table[name][:, : len(column)] = column
    table["shard"] = shard.number, shard.count
    return wire.each(table)


def found_lists(table: np.ndarray) -> ShardLists:
    """Inverse of `found_records`, with the layout of the first record that did not fail; nothing of those that did."""
    first = table[int(np.argmin(table["failed"]))]
    layout = ListLayout(first["starts"].copy(), first["shares"].copy(), first["flags"].copy(), int(first["spare"]))
    keys = np.where(table["failed"][:, None] != 0, NO_KEY, table["keys"])
    return ShardLists(keys, np.ascontiguousarray(table["tower"]), layout)


def wrong_shard(tables: Sequence[np.ndarray | None]) -> str | None:
    """Why the records come from other shards than their places mean; None if they do not."""
    for number, table in enumerate(tables, 1):
        for had, count in () if table is None else table["shard"][table["failed"] == 0].tolist():
            if (had, count) != (number, len(tables)):
                return f"address {number} of {len(tables)} in TANDEM_RETRIEVAL_URL has shard {had} of {count}"
    return None
