"""Retrieval: from many items to hundreds of candidates, by every source at once, for a batch of users."""

from __future__ import annotations

import numpy as np

from recsys import covisitation
from recsys.generation import TOWERS, GenerationFolder
from recsys.index import ExactIndex
from recsys.tables import ItemTables
from recsys.towers import Towers, UserEncoder
from recsys.types import CANDIDATES, F32, I32, PAD, Candidates, Histories, Source

FROM_TOWER, FROM_COVISIT, FROM_POPULAR = 320, 128, 64
"""How many each source may bring; together CANDIDATES."""


class Retriever:
    """The towers, the index and the other sources of one generation."""

    def __init__(self, encoder: UserEncoder, tables: ItemTables, exclude_seen: bool) -> None:
        self._encoder = encoder
        self._tables = tables
        self._index = ExactIndex(tables.embeddings, tables.available)
        self._exclude_seen = exclude_seen
        shown = np.where(tables.available, tables.popularity[:, 3], -1)
        best = np.argsort(-shown, kind="stable")[:FROM_POPULAR]
        self._popular = best[shown[best] >= 0].astype(np.int32)

    @classmethod
    def load(cls, folder: GenerationFolder) -> Retriever:
        """The retriever of a generation that `folder.verify` accepted."""
        tables = folder.tables()
        tower = Towers.load(folder.path / TOWERS).user
        return cls(UserEncoder(tower, tables.embeddings), tables, folder.manifest.settings["exclude_seen"])

    def retrieve(self, histories: Histories) -> Candidates:
        """Candidates of every source for each user, best tower score first.

        Items in the history are left out where the dataset says so; the rest of what a user has seen is the
        filters' to remove, since the history is cut to its newest items.
        """
        users = self._encoder.encode(histories)
        spare = histories.items.shape[1] if self._exclude_seen else 0
        votes = covisitation.votes(self._tables, histories.items)
        tower = self._index.search(users, FROM_TOWER + spare)
        if self._exclude_seen:
            tower = _drop(tower, histories.items, FROM_TOWER)
        covisit = votes.top(len(histories), FROM_COVISIT)
        popular = np.broadcast_to(self._popular, (len(histories), len(self._popular)))
        items, sources = _union(
            [(tower, Source.TOWER), (covisit, Source.COVISIT), (popular, Source.POPULAR)], len(self._tables)
        )
        real = items != PAD
        real[real] = self._tables.available[items[real]]
        if self._exclude_seen:
            real &= ~_contained(items, histories.items)
        scores = np.where(real, self.tower_scores(users, items), -np.inf).astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :CANDIDATES]
        items = np.take_along_axis(np.where(real, items, PAD), order, axis=1)
        return Candidates(
            items,
            np.take_along_axis(np.where(real, scores, np.float32(0)), order, axis=1),
            votes.score(items),
            np.take_along_axis(np.where(real, sources, 0).astype(np.uint8), order, axis=1),
        )

    def tower_scores(self, users: F32, items: I32) -> F32:
        """Inner products of users [B, d] with items [B, K]; each row the same bits whatever the batch."""
        rows = self._tables.embeddings[items.clip(min=0)]
        scores: F32 = (rows * users[:, None, :]).sum(axis=2)
        return scores


def _contained(items: I32, others: I32) -> np.ndarray:
    """Whether items[b, k] stands in others[b]."""
    width = np.int64(max(items.max(initial=0), others.max(initial=0)) + 2)
    offset = np.arange(len(items), dtype=np.int64)[:, None] * width + 1
    return np.isin(items + offset, (others + offset)[others != PAD])


def _drop(items: I32, others: I32, k: int) -> I32:
    """The first k of items[b] that don't stand in others[b], in their order, padded on the right."""
    gone = _contained(items, others) | (items == PAD)
    order = np.argsort(gone, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(np.where(gone, PAD, items), order, axis=1).astype(np.int32)


def _union(parts: list[tuple[I32, Source]], n_items: int) -> tuple[I32, np.ndarray]:
    """Each user's distinct items over all sources, ascending, with the flags of every source that named them."""
    batch = len(parts[0][0])
    items = np.concatenate([part for part, _ in parts], axis=1)
    flags = np.concatenate([np.full(part.shape[1], flag, np.uint8) for part, flag in parts])
    filled = np.where(items == PAD, n_items, items)
    order = np.argsort(filled, axis=1, kind="stable")
    ordered = np.take_along_axis(filled, order, axis=1)
    first = np.ones(ordered.shape, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = np.cumsum(first, axis=1) - 1
    union = np.full(items.shape, PAD, np.int32)
    sources = np.zeros(items.shape, np.uint8)
    user = np.broadcast_to(np.arange(batch)[:, None], items.shape)
    np.bitwise_or.at(sources, (user, group), flags[order])
    union[user[first], group[first]] = ordered[first]
    sources[union == n_items] = 0
    union[union == n_items] = PAD
    return union, sources
