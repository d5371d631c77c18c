"""The stages of a request, each one thing done to a batch; order, timing and fallbacks are the pipeline's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import numpy as np

from recsys.errors import StageError
from recsys.record import UserRecord
from recsys.sources import AT_ONCE
from recsys.store.base import UserStore
from recsys.types import PAD, Bool, Source
from service import wire
from service.history import stack
from service.query import Degraded, Query

Call = Callable[[wire.Rows], Awaitable[wire.Rows]]
"""One coarse call to retrieval or ranking, here or in another process."""


class Stage(Protocol):
    """Does its part for every query of a batch; what it can't do, `fall_back` does without it."""

    name: str
    degraded: Degraded
    share: float  # of the time left that it may take: a stage that hangs must not cost the ones after it

    async def run(self, queries: list[Query]) -> None:
        """Enrich the queries; any exception means it did nothing."""

    def fall_back(self, queries: list[Query]) -> None:
        """Leave the queries as the next rung of the ladder would."""


class UserHydrator:
    """Reads record and events of every user, in one round trip."""

    name, degraded, share = "hydrate", Degraded.STORE, 0.4

    def __init__(self, store: UserStore) -> None:
        self._store = store

    async def run(self, queries: list[Query]) -> None:
        """Set record and events."""
        for generation in {query.generation.id: query.generation for query in queries}.values():
            pinned = [query for query in queries if query.generation.id == generation.id]
            states = await self._store.read_users(
                generation.id, generation.manifest.user_buckets, [query.user_id for query in pinned]
            )
            published = generation.manifest.dims["users"] > 0
            for query, state in zip(pinned, states, strict=True):
                query.events = state.events
                if state.lost and published:
                    query.degraded.append(self.degraded)
                try:
                    query.record = UserRecord.unpack(state.record)
                except ValueError:
                    query.degraded.append(self.degraded)

    def fall_back(self, queries: list[Query]) -> None:
        """Everyone is unknown but for the session in the request."""


class RetrievalSource:
    """Candidates from towers, co-visitation and popularity: one call for the batch."""

    name, degraded, share = "retrieve", Degraded.RETRIEVAL, 0.6

    def __init__(self, call: Call) -> None:
        self._call = call

    async def run(self, queries: list[Query]) -> None:
        """Set the candidates, best tower score first."""
        asked = wire.retrieve_table([query.generation.id for query in queries], stack(queries))
        found = wire.as_table(await self._call(wire.as_bytes(asked)), wire.RETRIEVED)
        if wire.failed(found).all():
            raise StageError("retrieval failed for every query")
        for query, row in zip(queries, found, strict=True):
            if row["failed"]:
                _precomputed(query)
                query.degraded.append(self.degraded)
                continue
            real = row["items"] != PAD
            query.set_candidates(row["items"][real], row["tower"][real], row["sources"][real])

    def fall_back(self, queries: list[Query]) -> None:
        """Precomputed candidates where the user has them, else what is popular."""
        for query in queries:
            _precomputed(query)


class CandidateFilter(Protocol):
    """Says which candidates stay; the pipeline counts what goes, by the filter's reason."""

    reason: str

    def kept(self, query: Query) -> Bool:
        """Mask over the candidates."""


class SeenItemsFilter:
    """Removes what the user has already had, where the dataset excludes it."""

    reason = "seen"

    def kept(self, query: Query) -> Bool:
        """Mask over the candidates."""
        if not query.generation.manifest.settings["exclude_seen"]:
            return np.ones(len(query.items), bool)
        since = query.generation.item_rows([event.item_id for event in (*query.events, *query.session)])
        return ~np.isin(query.items, np.concatenate([query.record.seen, since]))


class ExcludedItemsFilter:
    """Removes what the request excludes."""

    reason = "excluded"

    def kept(self, query: Query) -> Bool:
        """Mask over the candidates."""
        return ~np.isin(query.items, query.generation.item_rows(query.exclude))


class UnavailableItemsFilter:
    """Removes what can't be shown: an item may have been hidden since, and a fresh one be unknown here yet."""

    reason = "unavailable"

    def kept(self, query: Query) -> Bool:
        """Mask over the candidates."""
        return query.generation.shows(query.items)


class RankingScorer:
    """The ranker's score for every candidate: one call for the batch."""

    name, degraded, share = "rank", Degraded.RANKING, 1.0

    def __init__(self, call: Call) -> None:
        self._call = call

    async def run(self, queries: list[Query]) -> None:
        """Set the scores; precomputed and popular lists carry no tower scores to rank by, and keep their order."""
        queries = [query for query in queries if Degraded.RETRIEVAL not in query.degraded and len(query.items)]
        if not queries:
            return
        asked = wire.rank_table([query.generation.id for query in queries], stack(queries))
        for query, row in zip(queries, asked, strict=True):
            count = len(query.items)
            row["items"][:count], row["tower"][:count] = query.items, query.tower
            row["sources"][:count] = query.sources
        scored = wire.as_table(await self._call(wire.as_bytes(asked)), wire.RANKED)
        if wire.failed(scored).all():
            raise StageError("ranking failed for every query")
        for query, row in zip(queries, scored, strict=True):
            if row["failed"]:
                query.degraded.append(self.degraded)
            else:
                query.scores = row["scores"][: len(query.items)]
                # Ranking has not heard of every item yet that retrieval has: those wait for the next request.
                query.keep(query.scores != -np.inf)

    def fall_back(self, queries: list[Query]) -> None:
        """Retrieval's order stands."""


class SlateSelector:
    """Picks the k best; tops up with what is popular, so that a list is never short while items are left."""

    def __init__(self, filters: Sequence[CandidateFilter]) -> None:
        self._filters = filters

    def select(self, query: Query) -> None:
        """Set the slate: the final k candidates, best first."""
        query.keep(np.argsort(-query.scores, kind="stable")[: query.k])
        missing = query.k - len(query.items)
        if missing > 0:
            self._top_up(query, missing)

    def _top_up(self, query: Query, missing: int) -> None:
        """What is popular, a step of the catalogue at a time, until enough of it passed the filters."""
        by_popularity = query.generation.tables.by_popularity
        for start in range(0, len(by_popularity), AT_ONCE):
            more = query.again()
            _in_order(more, by_popularity[start : start + AT_ONCE], Source.POPULAR)
            for rule in self._filters:
                more.keep(rule.kept(more))
            more.keep(np.flatnonzero(~np.isin(more.items, query.items))[:missing])
            # Below everything that was scored, and in their own order.
            floor = query.scores.min(initial=0)
            more.scores = floor - 1 - np.arange(len(more.items), dtype=np.float32)
            query.append(more)
            missing -= len(more.items)
            if not missing:
                return


def _precomputed(query: Query) -> None:
    """Candidates the publish computed for this user, else popular ones; scores fall with their place."""
    if len(query.record.candidates):
        _in_order(query, query.record.candidates, Source.PRECOMPUTED)
    else:
        _in_order(query, query.generation.popular, Source.POPULAR)


def _in_order(query: Query, items: np.ndarray, source: Source) -> None:
    unknown = np.full(len(items), np.nan, np.float32)
    query.set_candidates(items, unknown, np.full(len(items), source, np.uint8))
    query.scores = -np.arange(len(items), dtype=np.float32)
