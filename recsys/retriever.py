"""Retrieval: from many items to hundreds of candidates, by every source at once, for a batch of users."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from recsys.allowed import Allowed, AllowedItems, masks, only
from recsys.candidates import beside, drop, first, joined, ordered, reciprocal
from recsys.clusters import Clusters
from recsys.fresh import Grower, GrownIndex, GrownTables
from recsys.generation import TOWERS, GenerationFolder
from recsys.index import ExactIndex
from recsys.items import Latest, PutItems
from recsys.kernels import sources as kernel
from recsys.kernels.compiled import plain
from recsys.kernels.keys import U64
from recsys.near import NearIndex, compile_kernels
from recsys.sources import FreshItems, most_popular, repeats
from recsys.tables import ItemTables
from recsys.towers import UserEncoder, load_user_tower
from recsys.types import CANDIDATES, F32, HISTORY_LENGTH, I32, PAD, U8, Bool, Candidates, Histories, Source

SHARES = {Source.COVISIT: 64, Source.EASE: 32, Source.POPULAR: 64, Source.FRESH: 32, Source.REPEAT: 32}
"""How many candidates each source may bring; the tower brings the rest of CANDIDATES, and the share of those that a
generation lacks. On MovieLens 1M, leave one out, the tower's first 512 hold .859 of the targets, a mix .84: it is
other data (recent popularity beats the tower on MovieTweetings) that the rest is for."""

VOTE_DECAY = 0.9

NEIGHBOURS = 128
"""Of the items most like one, how many co-visitation and EASE name together, at most; the embeddings name the rest."""

NO_SOURCE = Source(0)
"""Of candidates that the query brings along: who asked knows whose they are."""

PUT_SHARE = 32
"""Of the tower's share, what goes to the best of the items put since, at most: without a place of their own, items
that nobody could take yet stand behind a catalogue that everybody could."""


class Retriever:
    """The towers, the index and the other sources of one generation."""

    def __init__(
        self,
        encoder: UserEncoder,
        tables: ItemTables,
        exclude_seen: bool,
        grower: Grower | None = None,
        clusters: Clusters | None = None,
    ) -> None:
        """grower: needed by `with_items` alone. clusters: of the items, where not all are to be looked through."""
        self._encoder = encoder
        self._tables, self._weighed_by = tables, _weighed_by(tables)
        self._index: ExactIndex | GrownIndex
        compile_kernels()
        if clusters is None:
            self._index = ExactIndex(tables.embeddings, tables.available, tables.rounded)
        else:
            self._index = NearIndex(tables.embeddings, tables.available, tables.rounded, clusters)
        self._exclude_seen = exclude_seen
        self._popular = most_popular(tables, CANDIDATES + HISTORY_LENGTH)
        self._fresh = FreshItems(tables)
        self._allowed = AllowedItems(tables)
        absent = {Source.REPEAT} if exclude_seen else set()
        if not tables.ease.width:
            absent.add(Source.EASE)
        self._shares = {source: share for source, share in SHARES.items() if source not in absent}
        self._plan = _plan(self._shares)
        self._grown = Latest(lambda puts: self._over(grower.grow(puts))) if grower else None

    @classmethod
    def load(cls, folder: GenerationFolder) -> Retriever:
        """The retriever of a generation that `folder.verify` accepted."""
        tables = folder.tables()
        tower = load_user_tower(folder.path / TOWERS)
        encoder, grower = UserEncoder(tower, tables.embeddings), Grower.load(folder, tables)
        return cls(encoder, tables, folder.manifest.seen_rule.everything, grower, folder.clusters())

    def with_items(self, puts: PutItems) -> Retriever:
        """The retriever of the generation and of the items put since; itself where none was."""
        return self._grown.of(puts) if self._grown and len(puts) else self

    def _over(self, tables: GrownTables) -> Retriever:
        """The same retriever over grown tables; what it made of the others is shared."""
        other: Retriever = copy.copy(self)
        assert isinstance(self._index, ExactIndex)
        other._tables, other._weighed_by, other._grown = tables, _weighed_by(tables), None
        other._index = GrownIndex(self._index, tables)
        other._encoder = self._encoder.over(tables.embeddings)
        other._popular = self._popular[tables.available[self._popular]]
        other._fresh = self._fresh.over(tables)
        other._allowed = self._allowed.over(tables)
        brought = min(PUT_SHARE, other._index.count)
        other._shares = self._shares | {Source.FRESH: self._shares[Source.FRESH] + brought}
        other._plan = _plan(other._shares)
        return other

    def retrieve(self, histories: Histories, extra: I32 | None = None, filters: I32 | None = None) -> Candidates:
        """Candidates of every source for each user, best tower score first.

        extra: [B, EXTRA] int32 items that are candidates whoever else names them, with no source of their own, padded.
        filters: [B, FILTER_WORDS] int32, `matching.packed`: every source brings what they leave and nothing else.
        Items in the history are left out where the dataset says so; the rest of what a user has seen is the
        filters' to remove, since the history is cut to its newest items. Rows of a history that are no item here are
        as if they had not happened.
        """
        histories = self._known(histories)
        users, past = self._encoder.encode(histories), histories.items
        shares = dict(self._plan)
        allowed = None if filters is None else self._allowed.of(filters)
        lists = self._lists(users, past, shares, allowed)
        if extra is not None:
            lists[NO_SOURCE] = only(np.where(self._tables.knows(extra), extra, PAD).astype(np.int32), allowed)
            shares[NO_SOURCE] = extra.shape[1]
        asked = beside(lists, shares, past if self._exclude_seen else None)
        items, scores, sources, real, of, kept = _room(asked[0].shape)
        written = items, sources, kept, scores, scores.view(np.uint32), real, of
        kernel.bring(*asked, users, *self._weighed_by, *written)
        of.sort(axis=1)
        if extra is not None and kept.any():
            of = first(of, kept, CANDIDATES)
        return ordered(items, scores, sources, real, of, CANDIDATES)

    def complete(self, histories: Histories, items: I32, sources: U8) -> Candidates:
        """Items [B, K] that were chosen before, with the tower's scores as of now, best first.

        Those that are no item here, or may not be shown, are left out.
        """
        users, items = self._encoder.encode(self._known(histories)), plain(items)
        _, scores, _, real, of, _ = _room(items.shape)
        kernel.weigh(users, *self._weighed_by, items, scores, scores.view(np.uint32), real, of)
        of.sort(axis=1)
        return ordered(items, scores, plain(sources), real, of, items.shape[1])

    def place(self, histories: Histories, items: I32) -> tuple[F32, I32]:
        """The tower's score of one item for each user, and how many of the items that may be shown score higher.

        items: [B] int32. Both [B]; NaN and PAD for what is no item here.
        """
        users = self._encoder.encode(self._known(histories))
        known = self._tables.knows(items) & (items != PAD)
        scores = self.tower_scores(users, np.where(known, items, PAD)[:, None])[:, 0]
        places = self._index.count_above(users, scores)
        return np.where(known, scores, np.nan).astype(np.float32), np.where(known, places, PAD).astype(np.int32)

    def similar(self, item: int, filters: I32 | None = None) -> tuple[Candidates, F32]:
        """The items most like one: by embedding, and by what people do with both, fused by rank.

        Candidates of one row, best first, `tower` the inner product of the two embeddings; and the fused scores [1, K].
        filters: [1, FILTER_WORDS] int32, as of `retrieve`.
        Cormack et al., "Reciprocal Rank Fusion", SIGIR 2009.
        """
        asked, tables = np.array([[item]], np.int32), self._tables
        vector = np.asarray(tables.embeddings[asked[0]])
        allowed = None if filters is None else self._allowed.of(filters)
        lists = {Source.TOWER: self._index.search(vector, CANDIDATES - NEIGHBOURS, allowed, exactly=True)}
        for source, votes in ((Source.COVISIT, tables.covisit), (Source.EASE, tables.ease)):
            if votes.width:
                lists[source] = votes.best(asked, NEIGHBOURS // 2, VOTE_DECAY, masks(allowed))
        items, sources, _ = joined(lists, {source: rows.shape[1] for source, rows in lists.items()}, asked)
        real = items != PAD
        real[real] = tables.available[items[real]]
        fused = sum((reciprocal(items, drop(rows, asked, rows.shape[1])) for rows in lists.values()), np.float32(0))
        order = np.argsort(-np.where(real, fused, -np.inf), axis=1, kind="stable")[:, :CANDIDATES]
        likeness = self.tower_scores(vector, items)
        found = ordered(items, likeness, sources, real, plain(order).view(np.uint64), CANDIDATES)
        return found, np.take_along_axis(fused, order, axis=1)

    def _known(self, histories: Histories) -> Histories:
        """The histories without rows that are no item here."""
        if self._tables.knows_all(histories.items):
            return histories
        return histories.only(self._tables.knows(histories.items))

    def each_source(self, histories: Histories, k: int) -> dict[Source, I32]:
        """What each source says alone if it is asked for k items: [B, at most k] int32, best first, padded."""
        histories = self._known(histories)
        users, past = self._encoder.encode(histories), histories.items
        lists = self._lists(users, past, dict.fromkeys((Source.TOWER, *self._shares), k))
        return {source: drop(items, past, k) if self._exclude_seen else items[:, :k] for source, items in lists.items()}

    def _lists(
        self,
        users: F32,
        past: I32,
        shares: dict[Source, int],
        allowed: Sequence[Allowed | None] | None = None,
    ) -> dict[Source, I32]:
        """The items of each source in `shares`, and as many more as may have been had and are dropped."""
        tables, spare = self._tables, past.shape[1] if self._exclude_seen else 0
        may = masks(allowed)
        lists: dict[Source, I32] = {}
        for source, k in shares.items():
            if source == Source.TOWER:
                lists[source] = self._index.search(users, k + spare, allowed)
            elif source == Source.COVISIT:
                lists[source] = tables.covisit.best(past, k + spare, VOTE_DECAY, may)
            elif source == Source.EASE:
                lists[source] = tables.ease.best(past, k + spare, VOTE_DECAY, may)
            elif source == Source.POPULAR:
                lists[source] = self._bring_popular(k + spare, len(past), allowed)
            elif source == Source.FRESH:
                lists[source] = self._bring_fresh(users, past, allowed)
            else:
                lists[source] = repeats(only(past, allowed), tables.available, k)
        return lists

    def _bring_popular(self, k: int, batch: int, allowed: Sequence[Allowed | None] | None) -> I32:
        """What is popular, for everybody the same, or of what a filter leaves."""
        popular = self._popular[None, :k]
        if batch > 1 or allowed is not None:
            popular = np.broadcast_to(popular, (batch, popular.shape[1]))
        if allowed is None:
            return popular
        popular = popular.copy()
        for row, of in zip(popular, allowed, strict=True):
            if of is not None:
                best = of.popular[: len(row)]
                row[: len(best)], row[len(best) :] = best, PAD
        return popular

    def _bring_fresh(self, users: F32, past: I32, allowed: Sequence[Allowed | None] | None) -> I32:
        """New items of liked categories, and the best of those put since."""
        items = only(self._fresh.best(past), allowed)
        if not isinstance(self._index, GrownIndex):
            return items
        return np.concatenate([items, self._index.fresh(users, PUT_SHARE, allowed)], axis=1)

    def tower_scores(self, users: F32, items: I32) -> F32:
        """Inner products of users [B, d] with items [B, K], -inf for PAD; each the same bits whatever the batch."""
        scores = np.empty(items.shape, np.float32)
        kernel.score(plain(users), self._tables.embedding_table, plain(items), scores)
        return scores


def _weighed_by(tables: ItemTables) -> tuple[np.ndarray, ...]:
    """What kernels weigh items by: the parts of the tables of embeddings and of what may be shown."""
    embeddings, available = tables.embedding_table, tables.available_table
    return embeddings.base, embeddings.late, embeddings.tail, available.base, available.tail


def _room(shape: tuple[int, ...]) -> tuple[I32, F32, U8, Bool, U64, Bool]:
    """Items, scores, sources, which are real, their keys and which are kept, to be written."""
    kinds = np.int32, np.float32, np.uint8, bool, np.uint64, bool
    items, scores, sources, real, of, kept = (np.empty(shape, kind) for kind in kinds)
    return items, scores, sources, real, of, kept


def _plan(shares: dict[Source, int]) -> dict[Source, int]:
    """The shares of all sources: the tower's is what the others leave."""
    return {Source.TOWER: CANDIDATES - sum(shares.values()), **shares}
