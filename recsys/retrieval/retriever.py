"""The retriever: finds up to 512 candidate items for each user of a batch, joined from every candidate source.

It also finds items similar to an item. The ranker orders the candidates afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recsys.errors import GenerationError
from recsys.filters.allowed_items import AllowedItems, masks, only
from recsys.fresh_items.extended_index import ExtendedIndex
from recsys.fresh_items.extended_tables import ExtendedTables, SnapshotCache, TableExtender
from recsys.fresh_items.put_items import PutItems
from recsys.generation.item_tables import ItemTables
from recsys.generation.manifest import TOWERS, GenerationFolder
from recsys.generation.shard import Shard
from recsys.generation.shard_rows import AllRows, PastTables, ShardRows
from recsys.kernels import candidate_lists
from recsys.kernels.candidate_lists import Joined
from recsys.kernels.jit import contiguous
from recsys.kernels.quantization import step
from recsys.kernels.top_k import U64, keys_of, placed_keys, rows_of
from recsys.model.neighbour_tables import VOTE_DECAY, Neighbours
from recsys.model.towers import content_encoder, load_user_tower
from recsys.model.user_encoder import UserEncoder
from recsys.retrieval.candidates import (
    best_first,
    distinct,
    drop,
    empty_candidates,
    fused,
    in_order,
    source_lists,
)
from recsys.retrieval.index import Index, index_of
from recsys.retrieval.registry import RETRIEVED, trained_with
from recsys.retrieval.shard_lists import ShardLists
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
        shard: ShardRows | None = None,
    ) -> None:
        """tables: of the whole generation. extender: only `with_items` needs it, over the same tables or the shard's.

        sources: those that the generation retrieves with. shard: the rows of a shard, which are then all that is kept.
        """
        self._encoder = encoder
        self._tables = tables if shard is None else shard.tables
        self.shard = None if shard is None else shard.shard
        self._rows = AllRows() if shard is None else shard
        unit = None if shard is None else step(tables.embeddings)
        self._index: Index | ExtendedIndex = index_of(self._tables, unit)
        self._exclude_seen = exclude_seen
        self._allowed = AllowedItems(self._tables)
        self._sources = [each for each in sources if each.finder and each.finder.serves(tables, exclude_seen)]
        self._finders = {each.flag: each.finder(tables) for each in self._sources if each.finder}
        if shard is not None:
            self._finders = {flag: each.within(shard, self._tables) for flag, each in self._finders.items()}
        self._plan = _plan(self._sources, self._finders)
        self._grown = SnapshotCache(lambda puts: self._over(extender.extend(puts))) if extender else None

    @classmethod
    def load(cls, folder: GenerationFolder, tables: ItemTables | None = None, shard: Shard | None = None) -> Retriever:
        """The retriever of a generation that `folder.verify` accepted. tables: instead of the folder's own.

        shard: the one that is searched; None for all items.
        """
        tables = tables or folder.tables()
        rows = None if shard is None else ShardRows(folder.path, shard, len(tables))
        own = tables if rows is None else rows.tables
        encoder = UserEncoder(load_user_tower(folder.path / TOWERS), own.embeddings)
        extender = TableExtender.load(folder, own, content_encoder(folder.path / TOWERS), rows)
        sources = trained_with(folder.manifest.sources)
        return cls(encoder, tables, folder.manifest.seen_rule.everything, extender, sources, rows)

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
        if self.shard is not None:
            why = f"This process has the items of {self.shard.name} alone"
            raise GenerationError(f"{why}: name all {self.shard.count} shards in the gateway's TANDEM_RETRIEVAL_URL.")
        batch = self._batch(histories, filters)
        shares = dict(self._plan)
        lists = self._found(batch, shares)
        if extra is not None:
            lists[NO_SOURCE], shares[NO_SOURCE] = self._kept(extra, batch), extra.shape[1]
        return best_first(self._joined(lists, shares, batch.past if self._exclude_seen else None, batch.users))

    def find(self, histories: Histories, extra: I32, filters: I32 | None = None) -> ShardLists:
        """The lists of `retrieve`, which `recsys.retrieval.shard_lists` merges with those of the other shards."""
        batch = self._batch(histories, filters)
        spare = batch.past.shape[1] if self._exclude_seen else 0
        lists = {flag: self._finders[flag].keys(batch, share + spare) for flag, share in self._plan.items()}
        kept = self._kept(self._rows.local(extra), batch)
        lists[NO_SOURCE] = placed_keys(np.arange(kept.shape[1]), kept)
        return self._listed(lists, self._plan | {NO_SOURCE: kept.shape[1]}, spare, batch.users)

    def find_similar(self, item: int, filters: I32 | None = None) -> ShardLists:
        """The lists of `similar`, to be merged with those of the other shards."""
        itself, users, tables = self._item(item)
        allowed = None if filters is None else self._allowed.of(filters)
        rows, scores = self._index.scored(users, CANDIDATES - NEIGHBOURS, allowed)
        lists: dict[int, U64] = {Source.TOWER: keys_of(scores, rows)}
        for source, votes in _votes(tables):
            lists[source] = votes.best_keys(itself, NEIGHBOURS // 2, VOTE_DECAY, masks(allowed))
        return self._listed(lists, {source: keys.shape[1] for source, keys in lists.items()}, 0, users)

    def _listed(self, lists: dict[int, U64], shares: dict[int, int], spare: int, users: F32) -> ShardLists:
        """The lists of a shard, with the tower's score of each item."""
        keys = np.concatenate([np.sort(each, axis=1) for each in lists.values()], axis=1)
        found = empty_candidates(keys.shape)
        found.items[:] = rows_of(keys)
        tables = self._tables.embedding_table, self._tables.available_table
        candidate_lists.weigh(contiguous(users), *tables, found)
        return ShardLists.of(lists, shares, spare, self._rows.global_keys(keys), found.scores)

    def require_shard(self) -> Shard:
        """The shard of this process; GenerationError in a process that has all items."""
        if self.shard is None:
            raise GenerationError("This process has all items: set its TANDEM_RETRIEVAL_SHARD, such as 1/2.")
        return self.shard

    def complete(self, histories: Histories, items: I32, sources: U16) -> Candidates:
        """Items [B, K] that a list or the caller chose, with the tower's current scores, best first.

        Items that the generation does not have, or that may not be shown, are left out.
        """
        users, found = self._batch(histories).users, empty_candidates(items.shape)
        found.items[:], found.sources[:] = self._rows.local(items), sources
        candidate_lists.weigh(users, self._tables.embedding_table, self._tables.available_table, found)
        found.keys.sort(axis=1)
        ordered = in_order(found, found.keys, items.shape[1])
        return replace(ordered, items=self._rows.global_rows(ordered.items))

    def place(self, histories: Histories, items: I32) -> tuple[F32, I32]:
        """The tower's score of one item for each query, and how many items that may be shown score higher.

        items: [B] int32. Both [B]; NaN and PAD if the generation does not have the item.
        """
        users, known = self._batch(histories).users, self.holds(items)
        places, tables = self._past(np.where(known, items, PAD)[:, None].astype(np.int32))
        scores = np.empty((len(items), 1), np.float32)
        candidate_lists.score(contiguous(users), tables.embedding_table, contiguous(places), scores)
        index = self._index  # every shard has the items put since, and the first counts them
        if isinstance(index, ExtendedIndex) and self.shard and self.shard.number > 1:
            index = index.trained
        above = index.count_above(users, scores[:, 0])
        return np.where(known, scores[:, 0], np.float32(np.nan)), np.where(known, above, PAD).astype(np.int32)

    def holds(self, items: I32) -> Bool:
        """Which rows are items of the generation or items added since."""
        known: Bool = self._rows.holds(self._tables, items) & (items != PAD)
        return known

    def searches(self, items: I32) -> Bool:
        """Which rows of the generation are among the items that are searched: all, or those of the shard."""
        own: Bool = self._rows.local(items) != PAD
        return own

    def similar(self, item: int, filters: I32 | None = None) -> tuple[Candidates, F32]:
        """The items most similar to one, by embedding, co-visitation and EASE, fused by rank.

        Candidates of one row, best first; `tower` is the inner product of the two embeddings. And the fused scores
        [1, K]. filters: [1, FILTER_WORDS] int32, as in `retrieve`.
        """
        itself, users, tables = self._item(item)
        allowed = None if filters is None else self._allowed.of(filters)
        lists: dict[int, I32] = {Source.TOWER: self._index.search(users, CANDIDATES - NEIGHBOURS, allowed)}
        for source, votes in _votes(tables):
            lists[source] = votes.best(itself, NEIGHBOURS // 2, VOTE_DECAY, masks(allowed))
        found = self._joined(lists, {source: rows.shape[1] for source, rows in lists.items()}, itself, users)
        return fused(found, lists.values(), item)

    def _item(self, item: int) -> tuple[I32, F32, ItemTables | PastTables]:
        """The row [1, 1] of an item in the tables that the last value is, and its embedding [1, d]."""
        place, tables = self._past(np.array([[item]], np.int32))
        return place, np.asarray(tables.embeddings[place[0]]), tables

    def _joined(self, lists: dict[int, I32], shares: dict[int, int], past: I32 | None, users: F32) -> Joined:
        """The distinct items of the sources' lists, weighed for users [B, d]. past: items to leave out."""
        found = distinct(source_lists(lists, shares, past))
        tables = self._tables.embedding_table, self._tables.available_table
        candidate_lists.weigh(contiguous(users), *tables, found)
        return found

    def _batch(self, histories: Histories, filters: I32 | None = None) -> RetrievalBatch:
        """The users of histories and what their sources read. Events of unknown items are dropped."""
        if not self._rows.knows_all(self._tables, histories.items):
            histories = histories.only(self._rows.holds(self._tables, histories.items))
        past, (places, tables) = self._rows.local(histories.items), self._past(histories.items)
        users = self._encoder.encode(replace(histories, items=places), tables.embedding_table)
        allowed = None if filters is None else self._allowed.of(filters)
        return RetrievalBatch(users, past, self._tables, self._index, allowed, places, tables)

    def _past(self, items: I32) -> tuple[I32, ItemTables | PastTables]:
        """Tables that have any items [B, H] of the generation, and their rows there."""
        return self._rows.past(items, self._tables)

    def _kept(self, items: I32, batch: RetrievalBatch) -> I32:
        """Items [B, K] that a query names, PAD for those that its filter or the generation lacks."""
        return only(np.where(self._tables.holds(items), items, PAD).astype(np.int32), batch.allowed)

    def each_source(self, histories: Histories, k: int) -> dict[int, I32]:
        """The k items of each source alone, by the source's flag: [B, at most k] int32, best first, padded."""
        batch = self._batch(histories)
        lists = self._found(batch, dict.fromkeys(self._plan, k))
        past = batch.past
        return {flag: drop(items, past, k) if self._exclude_seen else items[:, :k] for flag, items in lists.items()}

    def _found(self, batch: RetrievalBatch, shares: dict[int, int]) -> dict[int, I32]:
        """The items of each source by its flag: its share, and as many more as the history may remove."""
        spare = batch.past.shape[1] if self._exclude_seen else 0
        return {flag: self._finders[flag].find(batch, share + spare) for flag, share in shares.items()}


def _votes(tables: ItemTables | PastTables) -> list[tuple[Source, Neighbours]]:
    """The neighbour tables that name similar items, by the source's flag."""
    named = (Source.COVISIT, tables.covisit), (Source.EASE, tables.ease)
    return [(source, votes) for source, votes in named if votes.width]


def _plan(sources: Sequence[CandidateSource], finders: dict[int, Finder]) -> dict[int, int]:
    """The share of each source by its flag. The source without a share has what the others leave.

    On MovieLens 1M, leave one out, the first 512 items of the tower contain .859 of the targets, the mix .84. On
    MovieTweetings recent popularity is better than the tower.
    """
    shares = {each.flag: each.share and each.share + finders[each.flag].put_share for each in sources}
    rest = CANDIDATES - sum(share or 0 for share in shares.values())
    return {flag: rest if share is None else share for flag, share in shares.items()}
