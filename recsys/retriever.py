"""Retrieval: from many items to hundreds of candidates, by every source at once, for a batch of users."""

from __future__ import annotations

import copy

import numpy as np

from recsys.fresh import Grower, GrownIndex, GrownTables
from recsys.generation import TOWERS, GenerationFolder
from recsys.index import ExactIndex
from recsys.items import Latest, PutItems
from recsys.sources import FreshItems, most_popular, repeats
from recsys.tables import ItemTables
from recsys.towers import UserEncoder, load_user_tower
from recsys.types import CANDIDATES, F32, HISTORY_LENGTH, I32, PAD, Candidates, Histories, Source

SHARES = {Source.COVISIT: 64, Source.EASE: 32, Source.POPULAR: 64, Source.FRESH: 32, Source.REPEAT: 32}
"""How many candidates each source may bring; the tower brings the rest of CANDIDATES, and the share of those that a
generation lacks. On MovieLens 1M, leave one out, the tower's first 512 hold .859 of the targets, a mix .84: it is
other data (recent popularity beats the tower on MovieTweetings) that the rest is for."""

VOTE_DECAY = 0.9

PUT_SHARE = 32
"""Of the tower's share, what goes to the best of the items put since, at most: without a place of their own, items
that nobody could take yet stand behind a catalogue that everybody could."""


class Retriever:
    """The towers, the index and the other sources of one generation."""

    def __init__(
        self, encoder: UserEncoder, tables: ItemTables, exclude_seen: bool, grower: Grower | None = None
    ) -> None:
        """grower: needed by `with_items` alone."""
        self._encoder = encoder
        self._tables = tables
        self._index: ExactIndex | GrownIndex = ExactIndex(tables.embeddings, tables.available)
        self._exclude_seen = exclude_seen
        self._popular = most_popular(tables, CANDIDATES + HISTORY_LENGTH)
        self._fresh = FreshItems(tables)
        absent = {Source.REPEAT} if exclude_seen else set()
        if not tables.ease.width:
            absent.add(Source.EASE)
        self._shares = {source: share for source, share in SHARES.items() if source not in absent}
        self._grown = Latest(lambda puts: self._over(grower.grow(puts))) if grower else None

    @classmethod
    def load(cls, folder: GenerationFolder) -> Retriever:
        """The retriever of a generation that `folder.verify` accepted."""
        tables = folder.tables()
        tower = load_user_tower(folder.path / TOWERS)
        encoder, grower = UserEncoder(tower, tables.embeddings), Grower.load(folder, tables)
        return cls(encoder, tables, folder.manifest.settings["exclude_seen"], grower)

    def with_items(self, puts: PutItems) -> Retriever:
        """The retriever of the generation and of the items put since; itself where none was."""
        return self._grown.of(puts) if self._grown and len(puts) else self

    def _over(self, tables: GrownTables) -> Retriever:
        """The same retriever over grown tables; what it made of the others is shared."""
        other = copy.copy(self)
        assert isinstance(self._index, ExactIndex)
        other._tables, other._grown = tables, None
        other._index = GrownIndex(self._index, tables)
        other._encoder = self._encoder.over(tables.embeddings)
        other._popular = self._popular[tables.available[self._popular]]
        other._fresh = self._fresh.over(tables)
        brought = min(PUT_SHARE, other._index.count)
        other._shares = self._shares | {Source.FRESH: self._shares[Source.FRESH] + brought}
        return other

    def retrieve(self, histories: Histories) -> Candidates:
        """Candidates of every source for each user, best tower score first.

        Items in the history are left out where the dataset says so; the rest of what a user has seen is the
        filters' to remove, since the history is cut to its newest items. Rows of a history that are no item here are
        as if they had not happened.
        """
        known = self._tables.knows(histories.items)
        if not known.all():
            histories = histories.only(known)
        users = self._encoder.encode(histories)
        shares = {Source.TOWER: CANDIDATES - sum(self._shares.values()), **self._shares}
        items, sources = _union(self._bring(users, histories, shares))
        real = items != PAD
        real[real] = self._tables.available[items[real]]
        if self._exclude_seen:
            real &= ~_contained(items, histories.items)
        scores = np.where(real, self.tower_scores(users, items), -np.inf).astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :CANDIDATES]
        return Candidates(
            np.take_along_axis(np.where(real, items, PAD), order, axis=1),
            np.take_along_axis(np.where(real, scores, np.float32(0)), order, axis=1),
            np.take_along_axis(np.where(real, sources, 0).astype(np.uint8), order, axis=1),
        )

    def each_source(self, histories: Histories, k: int) -> dict[Source, I32]:
        """What each source says alone if it is asked for k items: [B, at most k] int32, best first, padded."""
        users = self._encoder.encode(histories)
        return dict(self._bring(users, histories, dict.fromkeys((Source.TOWER, *self._shares), k)))

    def _bring(self, users: F32, histories: Histories, shares: dict[Source, int]) -> dict[Source, I32]:
        """The items of each source in `shares`."""
        past, tables = histories.items, self._tables
        spare = past.shape[1] if self._exclude_seen else 0  # as many may have been had, and are dropped
        brought = {}
        for source, k in shares.items():
            if source == Source.TOWER:
                items = self._index.search(users, k + spare)
            elif source == Source.COVISIT:
                items = tables.covisit.best(past, k + spare, VOTE_DECAY)
            elif source == Source.EASE:
                items = tables.ease.best(past, k + spare, VOTE_DECAY)
            elif source == Source.POPULAR:
                items = np.broadcast_to(self._popular[: k + spare], (len(past), len(self._popular[: k + spare])))
            elif source == Source.FRESH:
                items = self._bring_fresh(users, past)
            else:
                items = repeats(past, tables.available, k)
            brought[source] = _drop(items, past, k) if self._exclude_seen else items[:, :k]
        return brought

    def _bring_fresh(self, users: F32, past: I32) -> I32:
        """New items of liked categories, and the best of those put since."""
        items = self._fresh.best(past)
        if not isinstance(self._index, GrownIndex):
            return items
        return np.concatenate([items, self._index.fresh(users, PUT_SHARE)], axis=1)

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


NO_ROW = np.iinfo(np.int32).max
"""Sorts behind every row."""


def _union(brought: dict[Source, I32]) -> tuple[I32, np.ndarray]:
    """Each user's distinct items over all sources, ascending, with the flags of every source that named them."""
    items = np.concatenate(list(brought.values()), axis=1)
    flags = np.concatenate([np.full(part.shape[1], source, np.uint8) for source, part in brought.items()])
    filled = np.where(items == PAD, NO_ROW, items)
    order = np.argsort(filled, axis=1, kind="stable")
    ordered = np.take_along_axis(filled, order, axis=1)
    first = np.ones(ordered.shape, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    union = np.full(items.shape, PAD, np.int32)
    sources = np.zeros(items.shape, np.uint8)
    if items.size:
        # Every row starts a group, so groups never reach over two users.
        joined = np.bitwise_or.reduceat(flags[order].ravel(), np.flatnonzero(first))
        user, group = np.nonzero(first)[0], (np.cumsum(first, axis=1) - 1)[first]
        union[user, group], sources[user, group] = ordered[first], joined
    nothing = union == NO_ROW
    union[nothing], sources[nothing] = PAD, 0
    return union, sources
