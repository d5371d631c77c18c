"""The retriever: finds up to 512 candidate items for each user of a batch, joined from every candidate source.

It also finds items similar to an item. The ranker orders the candidates afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from recsys.filters.allowed_items import AllowedItems, masks, only
from recsys.fresh_items.extended_index import ExtendedIndex
from recsys.fresh_items.extended_tables import ExtendedTables, SnapshotCache, TableExtender
from recsys.fresh_items.put_items import PutItems
from recsys.generation.item_tables import ItemTables
from recsys.generation.manifest import TOWERS, GenerationFolder
from recsys.kernels import candidate_lists
from recsys.kernels.candidate_lists import Joined
from recsys.kernels.jit import contiguous
from recsys.model.neighbour_tables import VOTE_DECAY
from recsys.model.towers import content_encoder, load_user_tower
from recsys.model.user_encoder import UserEncoder
from recsys.retrieval.candidates import best_first, drop, empty_candidates, fused, in_order, source_lists
from recsys.retrieval.index import Index, index_of
from recsys.retrieval.registry import RETRIEVED, trained_with
from recsys.retrieval.source import CandidateSource, Finder, RetrievalBatch
from recsys.types import CANDIDATES, F32, I32, PAD, U16, Bool, Candidates, Histories, Source

NEIGHBOURS = 128
"""Similar items that co-visitation and EASE name together, at most; the index names the others."""

NO_SOURCE = 0
"""The flags of candidates that come with the query."""


class Retriever:
    """The user tower, the index and the sources of one generation."""

    def __init__(
        self,
        encoder: UserEncoder,
        tables: ItemTables,
        exclude_seen: bool,
        extender: TableExtender | None = None,
        sources: Sequence[CandidateSource] = RETRIEVED,
    ) -> None:
        """extender: only `with_items` needs it. sources: those that the generation retrieves with."""
        self._encoder = encoder
        self._tables = tables
        self._index: Index | ExtendedIndex = index_of(tables)
        self._exclude_seen = exclude_seen
        self._allowed = AllowedItems(tables)
        self._sources = [each for each in sources if each.finder and each.finder.serves(tables, exclude_seen)]
        self._finders = {each.flag: each.finder(tables) for each in self._sources if each.finder}
        self._plan = _plan(self._sources, self._finders)
        self._grown = SnapshotCache(lambda puts: self._over(extender.extend(puts))) if extender else None

    @classmethod
    def load(cls, folder: GenerationFolder, tables: ItemTables | None = None) -> Retriever:
        """The retriever of a generation that `folder.verify` accepted. tables: instead of the folder's own."""
        tables = tables or folder.tables()
        encoder = UserEncoder(load_user_tower(folder.path / TOWERS), tables.embeddings)
        extender = TableExtender.load(folder, tables, content_encoder(folder.path / TOWERS))
        sources = trained_with(folder.manifest.sources)
        return cls(encoder, tables, folder.manifest.seen_rule.everything, extender, sources)

    def with_items(self, puts: PutItems) -> Retriever:
        """The retriever over the generation and the items added since through PUT /items; itself if there are none."""
        return self._grown.of(puts) if self._grown and len(puts) else self

    def _over(self, tables: ExtendedTables) -> Retriever:
        """The same retriever over grown tables. Both share the index and what the finders computed."""
        other: Retriever = copy.copy(self)
        assert not isinstance(self._index, ExtendedIndex)
        other._tables, other._grown = tables, None
        other._index = grown = ExtendedIndex(self._index, tables)
        other._encoder = self._encoder.over(tables.embeddings)
        other._allowed = self._allowed.over(tables)
        other._finders = {flag: finder.over(tables, grown) for flag, finder in self._finders.items()}
        other._plan = _plan(self._sources, other._finders)
        return other

    def retrieve(self, histories: Histories, extra: I32 | None = None, filters: I32 | None = None) -> Candidates:
        """Candidates of every source for each query, best tower score first.

        extra: [B, EXTRA] int32, padded: items that are candidates in any case, without a source. filters:
        [B, FILTER_WORDS] int32, `compiled_conditions.packed`; each source brings only items that pass. Items of the
        history are left out if the dataset excludes seen items. The history has only the newest events: the slate's
        filters remove the other seen items. Rows of a history that are no item of the generation are ignored.
        """
        batch = self._batch(histories, filters)
        shares = dict(self._plan)
        lists = self._found(batch, shares)
        if extra is not None:
            known = np.where(self._tables.holds(extra), extra, PAD).astype(np.int32)
            lists[NO_SOURCE], shares[NO_SOURCE] = only(known, batch.allowed), extra.shape[1]
        return best_first(self._joined(lists, shares, batch.past if self._exclude_seen else None, batch.users))

    def complete(self, histories: Histories, items: I32, sources: U16) -> Candidates:
        """Items [B, K] that a list or the caller chose, with the tower's current scores, best first.

        Items that the generation does not have, or that may not be shown, are left out.
        """
        users, found = self._encoder.encode(self._known(histories)), empty_candidates(items.shape)
        found.items[:], found.sources[:] = items, sources
        candidate_lists.weigh(users, self._tables.embedding_table, self._tables.available_table, found)
        found.keys.sort(axis=1)
        return in_order(found, found.keys, items.shape[1])

    def place(self, histories: Histories, items: I32) -> tuple[F32, I32]:
        """The tower's score of one item for each query, and how many items that may be shown score higher.

        items: [B] int32. Both [B]; NaN and PAD if the generation does not have the item.
        """
        users, known = self._encoder.encode(self._known(histories)), self.holds(items)
        rows = np.where(known, items, PAD)[:, None].astype(np.int32)
        scores = np.empty(rows.shape, np.float32)
        candidate_lists.score(contiguous(users), self._tables.embedding_table, contiguous(rows), scores)
        above = self._index.count_above(users, scores[:, 0])
        return np.where(known, scores[:, 0], np.float32(np.nan)), np.where(known, above, PAD).astype(np.int32)

    def holds(self, items: I32) -> Bool:
        """Which rows are items of the generation or items added since."""
        known: Bool = self._tables.holds(items) & (items != PAD)
        return known

    def similar(self, item: int, filters: I32 | None = None) -> tuple[Candidates, F32]:
        """The items most similar to one, by embedding, co-visitation and EASE, fused by rank.

        Candidates of one row, best first; `tower` is the inner product of the two embeddings. And the fused scores
        [1, K]. filters: [1, FILTER_WORDS] int32, as in `retrieve`.
        """
        itself, tables = np.array([[item]], np.int32), self._tables
        users = np.asarray(tables.embeddings[itself[0]])
        allowed = None if filters is None else self._allowed.of(filters)
        lists: dict[int, I32] = {Source.TOWER: self._index.search(users, CANDIDATES - NEIGHBOURS, allowed)}
        for source, votes in ((Source.COVISIT, tables.covisit), (Source.EASE, tables.ease)):
            if votes.width:
                lists[source] = votes.best(itself, NEIGHBOURS // 2, VOTE_DECAY, masks(allowed))
        found = self._joined(lists, {source: rows.shape[1] for source, rows in lists.items()}, itself, users)
        return fused(found, lists.values(), item)

    def _joined(self, lists: dict[int, I32], shares: dict[int, int], past: I32 | None, users: F32) -> Joined:
        """The distinct items of the sources' lists, weighed for users [B, d]. past: items to leave out."""
        named = source_lists(lists, shares, past)
        found = empty_candidates(named.items.shape)
        tables = self._tables.embedding_table, self._tables.available_table
        candidate_lists.join(named, contiguous(users), *tables, found)
        return found

    def _batch(self, histories: Histories, filters: I32 | None = None) -> RetrievalBatch:
        """The users of histories and what their sources read. Events of unknown items are dropped."""
        histories = self._known(histories)
        users = self._encoder.encode(histories)
        allowed = None if filters is None else self._allowed.of(filters)
        return RetrievalBatch(users, histories.items, self._tables, self._index, allowed)

    def _known(self, histories: Histories) -> Histories:
        """The histories without rows that the generation does not have."""
        if self._tables.knows_all(histories.items):
            return histories
        return histories.only(self._tables.holds(histories.items))

    def each_source(self, histories: Histories, k: int) -> dict[int, I32]:
        """The k items of each source alone, by the source's flag: [B, at most k] int32, best first, padded."""
        batch = self._batch(histories)
        lists, past = self._found(batch, dict.fromkeys(self._plan, k)), batch.past
        return {flag: drop(items, past, k) if self._exclude_seen else items[:, :k] for flag, items in lists.items()}

    def _found(self, batch: RetrievalBatch, shares: dict[int, int]) -> dict[int, I32]:
        """The items of each source by its flag: its share, and as many more as the history may remove."""
        spare = batch.past.shape[1] if self._exclude_seen else 0
        return {flag: self._finders[flag].find(batch, share + spare) for flag, share in shares.items()}


def _plan(sources: Sequence[CandidateSource], finders: dict[int, Finder]) -> dict[int, int]:
    """The share of each source by its flag. The source without a share has what the others leave.

    On MovieLens 1M, leave one out, the first 512 items of the tower contain .859 of the targets, the mix .84. On
    MovieTweetings recent popularity is better than the tower.
    """
    shares = {each.flag: each.share and each.share + finders[each.flag].put_share for each in sources}
    rest = CANDIDATES - sum(share or 0 for share in shares.values())
    return {flag: rest if share is None else share for flag, share in shares.items()}
