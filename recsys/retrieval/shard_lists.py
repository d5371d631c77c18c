"""Lists of the candidate sources in one shard, and how the lists of all shards become the candidates of a query.

The merged lists equal those of a search in all items, so candidates, scores and order are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.kernels import candidate_lists
from recsys.kernels.candidate_lists import Joined, SourceLists
from recsys.kernels.jit import contiguous
from recsys.kernels.top_k import U64
from recsys.retrieval.candidates import best_first, distinct, empty_candidates, places
from recsys.types import F32, I32, I64, PAD, U16, Candidates


@dataclass(frozen=True, slots=True)
class ListLayout:
    """Where the lists of a batch are, and how much of each is taken.

    starts: [L + 1], the first column of each list and the end of the last. shares: [L] candidates of each. flags: [L]
    of the sources. spare: further items of each list, which take the places of seen items.
    """

    starts: I64
    shares: I64
    flags: U16
    spare: int


@dataclass(frozen=True, slots=True)
class ShardLists:
    """keys: [B, W] uint64, ascending in each list, with rows in the low bits. tower: [B, W], -inf if not shown."""

    keys: U64
    tower: F32
    layout: ListLayout

    @classmethod
    def of(cls, lists: Mapping[int, U64], shares: Mapping[int, int], spare: int, keys: U64, tower: F32) -> ShardLists:
        """lists, shares: by the flag of the source. keys, tower: of all lists, side by side."""
        starts = np.cumsum([0, *(each.shape[1] for each in lists.values())])
        taken = np.array([shares[flag] for flag in lists])
        return cls(keys, tower, ListLayout(starts, taken, np.array([*lists], np.uint16), spare))


def merged(shards: list[ShardLists]) -> tuple[SourceLists, F32]:
    """The lists of all items from the lists of shards, for one batch; and the tower's score of each item."""
    layout = shards[0].layout
    starts = np.stack([each.layout.starts for each in shards])
    widths = np.minimum(np.diff(starts).sum(0), layout.shares + layout.spare)
    out = np.cumsum([0, *widths])
    keys, tower = (np.stack([getattr(each, name) for each in shards]) for name in ("keys", "tower"))
    items = np.full((keys.shape[1], out[-1]), PAD, np.int32)
    scores = np.full(items.shape, -np.inf, np.float32)
    candidate_lists.merge(keys, tower, starts, out, items, scores)
    no_past = np.zeros((len(items), 0), np.int32)
    return SourceLists(items, out, contiguous(layout.shares), contiguous(layout.flags), no_past, False), scores


def joined(lists: SourceLists, tower: F32, past: I32 | None) -> Joined:
    """The distinct candidates of merged lists. past: [B, H] items to leave out."""
    if past is not None:
        lists = lists._replace(past=contiguous(past), drop_past=True)
    found = distinct(lists)
    candidate_lists.weigh_by(tower, found)
    return found


def completed(named: Candidates, shards: Sequence[Candidates]) -> Candidates:
    """The items [B, K] that a query names, best first, by the scores of the shards that have them."""
    found = empty_candidates(named.items.shape)
    scores = np.full(named.items.shape, -np.inf, np.float32)
    found.items[:], found.sources[:], found.kept[:] = named.items, named.sources, False
    found.columns[:] = np.arange(named.items.shape[1])
    for query, items in enumerate(named.items):
        for shard in shards:
            own = shard.items[query] != PAD
            at = places(items, shard.items[query, own])
            scores[query, at >= 0] = shard.tower[query, own][at[at >= 0]]
    candidate_lists.weigh_by(scores, found)
    return best_first(found)
