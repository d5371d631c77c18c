"""The stages of a request that wait for others, each one thing asked for a batch; order and time are the pipeline's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import numpy as np

from recsys.errors import StageError
from recsys.history import assemble, still_standing
from recsys.matching import packed
from recsys.record import UserRecord
from recsys.store.base import UserState, UserStore
from recsys.types import CANDIDATES, EXTRA
from recsys.user_list import UserList
from service.backends import wire
from service.backends.backends import Backends, Call
from service.generations.served import ServedGeneration
from service.recommend.fallbacks import listed, take_list
from service.recommend.modes import choose
from service.recommend.query import Degraded, Query, Ranked
from service.schema import Mode
from service.settings import Settings
from service.telemetry.throttled_logger import ThrottledLogger

HALF = ThrottledLogger("Half of a batch was not retrieved: %s")


class Stage(Protocol):
    """Asks for a batch of queries at once, and changes none of them until the answer is there."""

    name: str
    degraded: Degraded
    share: float  # of the time left that it may take: a stage that hangs must not cost the ones after it

    def wants(self, query: Query) -> bool:
        """Whether the stage has anything to do for a query."""

    async def run(self, queries: Sequence[Query]) -> Sequence[Any]:
        """What was found for each; StageError, or any other, where nothing was for any."""

    def put(self, query: Query, found: Any) -> None:
        """Enrich a query with what was found for it."""

    def fall_back(self, query: Query) -> None:
        """Leave a query as the next rung of the ladder would."""


class UserHydrator:
    """Reads record, events and list of every user, in one round trip."""

    name, degraded, share = "hydrate", Degraded.STORE, 0.4

    def __init__(self, store: UserStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def wants(self, query: Query) -> bool:
        """A visitor without an id has nothing in the store."""
        return query.user_id is not None

    async def run(self, queries: Sequence[Query]) -> Sequence[UserState]:
        """The state of each user."""
        generations = {query.generation.id: query.generation for query in queries}
        if len(generations) == 1:
            return await self._read(queries[0].generation, queries)
        found: dict[int, UserState] = {}
        for generation in generations.values():
            pinned = [query for query in queries if query.generation.id == generation.id]
            found.update(zip(map(id, pinned), await self._read(generation, pinned), strict=True))
        return [found[id(query)] for query in queries]

    async def _read(self, generation: ServedGeneration, queries: Sequence[Query]) -> Sequence[UserState]:
        users = [query.user_id for query in queries if query.user_id is not None]
        return await self._store.read_users(generation.id, generation.manifest.user_buckets, users)

    def put(self, query: Query, found: UserState) -> None:
        """Set record, events and list."""
        query.events = found.events
        if found.lost and query.generation.manifest.dims["users"]:
            query.leave_out(self.degraded)
        try:
            query.record = UserRecord.unpack(found.record)
        except ValueError:
            query.leave_out(self.degraded)
        try:
            query.listed = UserList.unpack(found.listed)
        except ValueError:
            query.leave_out(self.degraded)
        self._ready(query)

    def fall_back(self, query: Query) -> None:
        """Everyone is unknown but for the session in the request."""
        self._ready(query)

    def _ready(self, query: Query) -> None:
        generation = query.generation
        since = (*query.events, *query.session)
        query.past = assemble(query.record, since, generation.rows_of, generation.spec.type_row)
        query.history = still_standing(query.past, generation.spec.negative_types)
        query.made_by = choose(query, self._settings)
        if query.made_by == Mode.BATCH:
            take_list(query)


class RetrievalSource:
    """Candidates from every source, or tower scores for those of a list: one call for the batch."""

    name, degraded, share = "retrieve", Degraded.RETRIEVAL, 0.6

    def __init__(self, backends: Backends) -> None:
        self._retrieve = backends.retrieve
        self._complete = backends.complete

    def wants(self, query: Query) -> bool:
        """A batch list stands as it is."""
        return query.made_by != Mode.BATCH

    async def run(self, queries: Sequence[Query]) -> Sequence[Any]:
        """A record of RETRIEVED for each; both calls of a mixed batch at once, and one that breaks fails its own."""
        hybrid = [query for query in queries if query.made_by == Mode.HYBRID]
        if not hybrid:
            found = await self._anew(queries)
        elif len(hybrid) == len(queries):
            found = await self._completed(queries)
        else:
            anew = [query for query in queries if query.made_by != Mode.HYBRID]
            found = await _of_both(queries, [(anew, self._anew), (hybrid, self._completed)])
        if all(map(wire.has_failed, found)):
            raise StageError("retrieval failed for every query")
        return found

    async def _anew(self, queries: Sequence[Query]) -> list[bytearray]:
        asked = wire.asking(wire.RETRIEVE, history_records(queries))
        for query, row in zip(queries, asked, strict=True):
            if query.extra or query.matches:
                record = wire.as_table(row[None], wire.RETRIEVE)[0]
                extra = list(query.extra)[:EXTRA]
                record["extra"][: len(extra)] = extra
                if query.matches:
                    record["filter"] = packed(query.matches)
        return await records(self._retrieve, asked, wire.RETRIEVED)

    async def _completed(self, queries: Sequence[Query]) -> list[bytearray]:
        told = []
        for query, history in zip(queries, history_records(queries), strict=True):
            items, sources = listed(query)
            none = np.zeros(len(items), np.float32)
            told.append(history + wire.named(items[:CANDIDATES], none[:CANDIDATES], sources[:CANDIDATES]))
        return await records(self._complete, wire.asking(wire.RANK, told), wire.RETRIEVED)

    def put(self, query: Query, found: Any) -> None:
        """Set the candidates, best tower score first."""
        if wire.has_failed(found):
            query.leave_out(self.degraded)
            self.fall_back(query)
            return
        query.set_candidates(*wire.found(found))
        if query.extra:
            mine = [query.extra.get(row, 0) for row in query.items.tolist()]
            query.sources = query.sources | np.array(mine, np.uint16)

    def fall_back(self, query: Query) -> None:
        """The list that was made before where the user has one, else what is popular."""
        take_list(query)


class RankingScorer:
    """The ranker's score for every candidate: one call for the batch."""

    name, degraded, share = "rank", Degraded.RANKING, 1.0

    def __init__(self, backends: Backends) -> None:
        self._rank = backends.rank

    def wants(self, query: Query) -> bool:
        """Lists keep their order."""
        return can_rank(query) and len(query.items) > 0

    async def run(self, queries: Sequence[Query]) -> Sequence[Any]:
        """A record of RANKED for each."""
        asked = wire.asking(wire.RANK, candidate_records(queries, queries))
        scored = await records(self._rank, asked, wire.RANKED)
        if all(map(wire.has_failed, scored)):
            raise StageError("ranking failed for every query")
        return scored

    def put(self, query: Query, found: Any) -> None:
        """Set the scores."""
        if wire.has_failed(found):
            query.leave_out(self.degraded)
            return
        query.scores, complete = wire.scores(found, len(query.items))
        if not complete:  # ranking has not heard of every item yet that retrieval has: those wait for the next request
            query.keep(query.scores != -np.inf)

    def fall_back(self, query: Query) -> None:
        """Retrieval's order stands."""


def can_rank(query: Query) -> bool:
    """Whether a query's candidates are retrieval's: lists carry no tower scores to rank by."""
    return query.made_by != Mode.BATCH and Degraded.RETRIEVAL not in query.degraded


async def _of_both(
    queries: Sequence[Query], parts: Sequence[tuple[list[Query], Callable[[list[Query]], Awaitable[list[bytearray]]]]]
) -> list[bytearray]:
    answers = await asyncio.gather(*(ask(part) for part, ask in parts), return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    if len(errors) == len(parts):
        raise errors[0]
    found: dict[int, bytearray] = {}
    for (part, _), answer in zip(parts, answers, strict=True):
        if isinstance(answer, BaseException):
            HALF.warn(str(answer) or type(answer).__name__)
            answer = [bytearray(wire.failure(wire.RETRIEVED)) for _ in part]
        found.update(zip(map(id, part), answer, strict=True))
    return [found[id(query)] for query in queries]


def history_records(queries: Sequence[Query]) -> list[bytes]:
    """Records of HISTORY: what the hops are told of each query, every stage the same; with when its answer is due."""
    offset = time.time() - time.monotonic()
    for query in queries:
        if query.told is None:
            query.told = wire.told(query.generation.id, query.due + offset, query.history, query.now, query.context)
    return [query.told for query in queries if query.told is not None]


def candidate_records(queries: Sequence[Query], candidates: Sequence[Query | Ranked]) -> list[bytes]:
    """The same and the candidates of each."""
    told = [wire.named(each.items, each.tower, each.sources) for each in candidates]
    return [history + each for history, each in zip(history_records(queries), told, strict=True)]


def history_table(dtype: np.dtype, queries: Sequence[Query]) -> np.ndarray:
    """Records of `dtype` with the histories of queries, to fill in the rest."""
    return wire.as_table(wire.asking(dtype, history_records(queries)), dtype)


def rank_table(dtype: np.dtype, queries: Sequence[Query], candidates: Sequence[Query | Ranked]) -> np.ndarray:
    """The same with the candidates of each."""
    return wire.as_table(wire.asking(dtype, candidate_records(queries, candidates)), dtype)


async def records(call: Call, asked: wire.Rows, dtype: np.dtype) -> list[bytearray]:
    """The records of `dtype` that a call gives, each in memory of its own; StageError where it is not one for each."""
    rows = await call(asked)
    if rows.shape != (len(asked), dtype.itemsize):
        raise StageError(f"{len(rows)} answers of {rows.shape[-1]} bytes came for {len(asked)} queries")
    return [bytearray(rows)] if len(rows) == 1 else [bytearray(row) for row in rows]


async def answered(call: Call, asked: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A table of `dtype` that a call gives for another; StageError where it is not one record for each."""
    found = wire.as_table(await call(wire.as_bytes(asked)), dtype)
    if len(found) != len(asked):
        raise StageError(f"{len(found)} answers came for {len(asked)} queries")
    return found
