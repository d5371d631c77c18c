"""The stages of a request that call the store or a model: read the user, retrieve candidate items, and score them.

`service.recommend.pipeline` runs them in order, each for a batch of queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, product
from typing import Any, Protocol

import numpy as np

from recsys.errors import StageError
from recsys.filters.compiled_conditions import packed
from recsys.lists.user_list import UserList
from recsys.lists.user_record import UserRecord
from recsys.model.history import assemble, without_revoked
from recsys.slates.fallbacks import listed, take_list
from recsys.slates.modes import choose
from recsys.slates.query import Degraded, Query, Ranked
from recsys.slates.served_generation import ServedGeneration
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import UserState
from recsys.types import CANDIDATES, EXTRA, Mode
from service.backends import wire
from service.backends.calls import Backends
from service.recommend.records import call_records, candidate_records, history_records
from service.telemetry import metrics
from service.telemetry.throttled_logger import ThrottledLogger

PART_FAILED = ThrottledLogger("Retrieval failed for a part of a batch: %s")


class Stage(Protocol):
    """A stage: one call for a batch of queries. `run` changes no query; `put` enriches a query with its result."""

    name: str
    degraded: Degraded
    share: float  # of the time left that the call may take, so that the later stages still have time

    def is_needed_by(self, query: Query) -> bool:
        """Whether the query needs the stage."""

    async def run(self, queries: Sequence[Query]) -> Sequence[Any]:
        """The result of each query; StageError or another error if there is a result for none."""

    def put(self, query: Query, found: Any) -> None:
        """Enrich a query with its result."""

    def fall_back(self, query: Query) -> None:
        """Prepare a query without a result for the next stage."""


class UserHydrator:
    """Reads record, events and list of every user in one round trip."""

    name, degraded, share = "hydrate", Degraded.STORE, 0.4

    def __init__(self, store: RedisUserStore) -> None:
        self._store = store
        self._stored: set[str] = set()
        """The generations of which the store had a record."""
        for held in product((False, True), repeat=3):
            metrics.user_read(*held)(0)  # so that the first read is an increase

    def is_needed_by(self, query: Query) -> bool:
        """Nothing is stored of a visitor without an id."""
        return query.user_id is not None

    async def run(self, queries: Sequence[Query]) -> Sequence[UserState]:
        """The state of each user. A batch may hold queries of several generations, and of arms with own lists."""
        alike: dict[tuple[str, str], list[Query]] = {}
        for query in queries:
            alike.setdefault((query.generation.id, query.assigned.list_variant), []).append(query)
        if len(alike) == 1:
            return await self._read(queries)
        read = await asyncio.gather(*map(self._read, alike.values()))
        states = dict(zip(map(id, chain(*alike.values())), chain(*read), strict=True))
        return [states[id(query)] for query in queries]

    async def _read(self, queries: Sequence[Query]) -> Sequence[UserState]:
        """The states of users, with the lists of a generation and of an arm."""
        generation, variant = queries[0].generation, queries[0].assigned.list_variant
        users = [query.user_id for query in queries if query.user_id is not None]
        return await self._store.read_users(generation.id, generation.manifest.user_buckets, users, variant)

    def put(self, query: Query, found: UserState) -> None:
        """Set record, events and list."""
        if query.is_traffic:
            metrics.user_read(found.record is not None, bool(found.events), found.listed is not None)(1)
        query.events = found.events
        if self._has_lost_records(query.generation, found):
            query.leave_out(self.degraded)
        try:
            query.record = UserRecord.unpack(found.record)
        except ValueError:
            query.leave_out(self.degraded)
        try:
            query.listed = UserList.unpack(found.listed)
        except ValueError:
            query.leave_out(self.degraded)
        self._prepare(query)

    def fall_back(self, query: Query) -> None:
        """Only the session of the request is known."""
        self._prepare(query)

    def _has_lost_records(self, generation: ServedGeneration, found: UserState) -> bool:
        """Whether the store has lost records of a generation. It never had those of a bento that was not published."""
        if not found.lost:
            self._stored.add(generation.id)
            return False
        was_stored = not generation.pinned or generation.id in self._stored
        return was_stored and bool(generation.manifest.dims["users"])

    def _prepare(self, query: Query) -> None:
        """Set history and mode."""
        generation = query.generation
        since = (*query.events, *query.session)
        query.past = assemble(query.record, since, generation.rows_of, generation.spec.type_row)
        query.history = without_revoked(query.past, generation.spec.negative_types)
        query.made_by = choose(query)


class RetrievalSource:
    """Candidates from every source, or tower scores for the items of the user's list."""

    name, degraded, share = "retrieve", Degraded.RETRIEVAL, 0.6

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def is_needed_by(self, query: Query) -> bool:
        """In mode batch the user's list is the answer."""
        return query.made_by != Mode.BATCH

    async def run(self, queries: Sequence[Query]) -> Sequence[bytearray]:
        """A record of RETRIEVED for each. The two calls of a mixed batch run together, and each may fail alone."""
        hybrid = [query for query in queries if query.made_by == Mode.HYBRID]
        realtime = [query for query in queries if query.made_by != Mode.HYBRID]
        if not hybrid or not realtime:
            found = await (self._complete(hybrid) if hybrid else self._retrieve(realtime))
        else:
            parts = await asyncio.gather(_part(self._retrieve, realtime), _part(self._complete, hybrid))
            records = dict(zip(map(id, [*realtime, *hybrid]), [*parts[0], *parts[1]], strict=True))
            found = [records[id(query)] for query in queries]
        if all(map(wire.has_failed, found)):
            raise StageError("retrieval failed for every query")
        return found

    async def _retrieve(self, queries: Sequence[Query]) -> list[bytearray]:
        rows = wire.query_rows(wire.RETRIEVE, history_records(queries))
        for query, row in zip(queries, rows, strict=True):
            if query.extra or query.matches:
                record = wire.as_table(row[None], wire.RETRIEVE)[0]
                extra = list(query.extra)[:EXTRA]
                record["extra"][: len(extra)] = extra
                if query.matches:
                    record["filter"] = packed(query.matches)
        return await call_records(self._backends.retrieve, rows, wire.RETRIEVED)

    async def _complete(self, queries: Sequence[Query]) -> list[bytearray]:
        rows = wire.query_rows(wire.RANK, candidate_records(queries, [_list_candidates(query) for query in queries]))
        return await call_records(self._backends.complete, rows, wire.RETRIEVED)

    def put(self, query: Query, found: bytearray) -> None:
        """Set the candidates, best tower score first."""
        if wire.has_failed(found):
            query.leave_out(self.degraded)
            self.fall_back(query)
            return
        query.set_candidates(*wire.found(found))
        if query.assigned.candidates and query.given is None:
            query.keep(np.arange(min(query.assigned.candidates, len(query.items))))
        if query.extra:
            named_by = [query.extra.get(row, 0) for row in query.items.tolist()]
            query.sources = query.sources | np.array(named_by, np.uint16)

    def fall_back(self, query: Query) -> None:
        """Take the user's list, or popular items if there is none."""
        take_list(query)


class RankingScorer:
    """The ranker's score of every candidate."""

    name, degraded, share = "rank", Degraded.RANKING, 1.0

    def __init__(self, backends: Backends) -> None:
        self._rank = backends.rank

    def is_needed_by(self, query: Query) -> bool:
        """Lists keep their order."""
        return can_rank(query) and len(query.items) > 0

    async def run(self, queries: Sequence[Query]) -> Sequence[bytearray]:
        """A record of RANKED for each."""
        rows = wire.query_rows(wire.RANK, candidate_records(queries, queries))
        found = await call_records(self._rank, rows, wire.RANKED)
        if all(map(wire.has_failed, found)):
            raise StageError("ranking failed for every query")
        return found

    def put(self, query: Query, found: bytearray) -> None:
        """Set the scores."""
        if wire.has_failed(found):
            query.leave_out(self.degraded)
            return
        query.scores, complete = wire.scores(found, len(query.items))
        if not complete:  # ranking does not hold every new item yet that retrieval holds
            query.keep(query.scores != -np.inf)

    def fall_back(self, query: Query) -> None:
        """Keep the order of retrieval."""


def can_rank(query: Query) -> bool:
    """Whether a query's candidates are retrieval's: lists carry no tower scores to rank by."""
    return query.made_by != Mode.BATCH and Degraded.RETRIEVAL not in query.degraded


def _list_candidates(query: Query) -> Ranked:
    """The items of the request or of the user's list, without tower scores."""
    items, sources = listed(query)
    unknown = np.zeros(min(len(items), CANDIDATES), np.float32)
    return Ranked(items[:CANDIDATES], unknown, sources[:CANDIDATES], unknown)


async def _part(
    call: Callable[[Sequence[Query]], Awaitable[list[bytearray]]], queries: Sequence[Query]
) -> list[bytearray]:
    """The records of a part of a batch; all are marked as failed if the call fails."""
    try:
        return await call(queries)
    except Exception as error:
        PART_FAILED.warn(str(error) or type(error).__name__)
        return [bytearray(wire.failure(wire.RETRIEVED)) for _ in queries]
