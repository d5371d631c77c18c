"""Retrieval: from many items to hundreds of candidates, by every source at once, for a batch of users."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from recsys.filters.allowed_items import Allowed, AllowedItems, masks, only
from recsys.fresh_items.caches import SnapshotCache
from recsys.fresh_items.extended_index import ExtendedIndex
from recsys.fresh_items.extended_tables import ExtendedTables, TableExtender
from recsys.fresh_items.put_items import PutItems
from recsys.generation.item_tables import ItemTables
from recsys.generation.manifest import TOWERS, GenerationFolder
from recsys.kernels import sources as kernel
from recsys.kernels.compiled import plain
from recsys.kernels.keys import U64
from recsys.model.neighbour_tables import VOTE_DECAY
from recsys.model.towers import load_user_tower
from recsys.model.user_encoder import UserEncoder
from recsys.retrieval.candidates import beside, drop, first, joined, ordered, reciprocal
from recsys.retrieval.index import Index, index_of
from recsys.retrieval.registry import RETRIEVED, trained_with
from recsys.retrieval.source import CandidateSource, Finder, RetrievalBatch
from recsys.types import CANDIDATES, F32, I32, PAD, U16, Bool, Candidates, Histories, Source

NEIGHBOURS = 128
"""Of the items most like one, how many co-visitation and EASE name together, at most; the embeddings name the rest."""

NO_SOURCE = 0
"""The flags of candidates that the query brings along: the caller knows where these come from."""


class Retriever:
    """The towers, the index and the sources of one generation."""

    def __init__(
        self,
        encoder: UserEncoder,
        tables: ItemTables,
        exclude_seen: bool,
        extender: TableExtender | None = None,
        sources: Sequence[CandidateSource] = RETRIEVED,
    ) -> None:
        """extender: needed by `with_items` alone. sources: those that this generation retrieves with."""
        self._encoder = encoder
        self._tables, self._weighed_by = tables, _weighed_by(tables)
        self._index: Index | ExtendedIndex = index_of(tables)
        self._exclude_seen = exclude_seen
        self._allowed = AllowedItems(tables)
        self._sources = [each for each in sources if each.finder and each.finder.serves(tables, exclude_seen)]
        self._finders = {each.flag: each.finder(tables) for each in self._sources if each.finder}
        self._plan = _plan(self._sources, self._finders)
        self._grown = SnapshotCache(lambda puts: self._over(extender.extend(puts))) if extender else None

    @classmethod
    def load(cls, folder: GenerationFolder, tables: ItemTables | None = None) -> Retriever:
        """The retriever of a generation that `folder.verify` accepted; tables: in place of the folder's own."""
        tables = tables or folder.tables()
        tower = load_user_tower(folder.path / TOWERS)
        encoder, extender = UserEncoder(tower, tables.embeddings), TableExtender.load(folder, tables)
        sources = trained_with(folder.manifest.sources)
        return cls(encoder, tables, folder.manifest.seen_rule.everything, extender, sources)

    def with_items(self, puts: PutItems) -> Retriever:
        """The retriever of the generation and of the items put since; itself where none was."""
        return self._grown.of(puts) if self._grown and len(puts) else self

    def _over(self, tables: ExtendedTables) -> Retriever:
        """The same retriever over grown tables; what it made of the others is shared."""
        other: Retriever = copy.copy(self)
        assert not isinstance(self._index, ExtendedIndex)
        other._tables, other._weighed_by, other._grown = tables, _weighed_by(tables), None
        other._index = grown = ExtendedIndex(self._index, tables)
        other._encoder = self._encoder.over(tables.embeddings)
        other._allowed = self._allowed.over(tables)
        other._finders = {flag: finder.over(tables, grown) for flag, finder in self._finders.items()}
        other._plan = _plan(self._sources, other._finders)
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
        lists = self._found(users, past, shares, allowed)
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

    def complete(self, histories: Histories, items: I32, sources: U16) -> Candidates:
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
        known = self.knows(items)
        scores = self.tower_scores(users, np.where(known, items, PAD)[:, None])[:, 0]
        places = self._index.count_above(users, scores)
        return np.where(known, scores, np.nan).astype(np.float32), np.where(known, places, PAD).astype(np.int32)

    def knows(self, items: I32) -> Bool:
        """Which rows are items here."""
        known: Bool = self._tables.knows(items) & (items != PAD)
        return known

    def similar(self, item: int, filters: I32 | None = None) -> tuple[Candidates, F32]:
        """The items most like one: by embedding, and by what people do with both, fused by rank.

        Candidates of one row, best first, `tower` the inner product of the two embeddings; and the fused scores [1, K].
        filters: [1, FILTER_WORDS] int32, as of `retrieve`.
        Cormack et al., "Reciprocal Rank Fusion", SIGIR 2009.
        """
        asked, tables = np.array([[item]], np.int32), self._tables
        vector = np.asarray(tables.embeddings[asked[0]])
        allowed = None if filters is None else self._allowed.of(filters)
        lists: dict[int, I32] = {Source.TOWER: self._index.search(vector, CANDIDATES - NEIGHBOURS, allowed)}
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

    def each_source(self, histories: Histories, k: int) -> dict[int, I32]:
        """The k items of each source alone, by the source's flag: [B, at most k] int32, best first, padded."""
        histories = self._known(histories)
        users, past = self._encoder.encode(histories), histories.items
        lists = self._found(users, past, dict.fromkeys(self._plan, k))
        return {flag: drop(items, past, k) if self._exclude_seen else items[:, :k] for flag, items in lists.items()}

    def _found(
        self, users: F32, past: I32, shares: dict[int, int], allowed: Sequence[Allowed | None] | None = None
    ) -> dict[int, I32]:
        """The items of each source by its flag: the share, and as many more as the history may take away."""
        batch = RetrievalBatch(users, past, self._tables, self._index, allowed)
        spare = past.shape[1] if self._exclude_seen else 0
        return {flag: self._finders[flag].find(batch, share + spare) for flag, share in shares.items()}

    def tower_scores(self, users: F32, items: I32) -> F32:
        """Inner products of users [B, d] with items [B, K], -inf for PAD; each the same bits whatever the batch."""
        scores = np.empty(items.shape, np.float32)
        kernel.score(plain(users), self._tables.embedding_table, plain(items), scores)
        return scores


def _weighed_by(tables: ItemTables) -> tuple[np.ndarray, ...]:
    """What kernels weigh items by: the parts of the tables of embeddings and of what may be shown."""
    embeddings, available = tables.embedding_table, tables.available_table
    return embeddings.base, embeddings.late, embeddings.tail, available.base, available.tail


def _room(shape: tuple[int, ...]) -> tuple[I32, F32, U16, Bool, U64, Bool]:
    """Items, scores, sources, which are real, their keys and which are kept, to be written."""
    kinds = np.int32, np.float32, np.uint16, bool, np.uint64, bool
    items, scores, sources, real, of, kept = (np.empty(shape, kind) for kind in kinds)
    return items, scores, sources, real, of, kept


def _plan(sources: Sequence[CandidateSource], finders: dict[int, Finder]) -> dict[int, int]:
    """The share of each source by its flag. The source without a share of its own has what the others leave.

    On MovieLens 1M, leave one out, the tower's first 512 hold .859 of the targets, a mix .84. The other sources are for
    other data: recent popularity beats the tower on MovieTweetings.
    """
    shares = {each.flag: each.share and each.share + finders[each.flag].put_share for each in sources}
    rest = CANDIDATES - sum(share or 0 for share in shares.values())
    return {flag: rest if share is None else share for flag, share in shares.items()}
