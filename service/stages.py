"""The stages of a request that wait for others, each one thing asked for a batch; order and time are the pipeline's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from recsys.allowed import packed
from recsys.errors import StageError
from recsys.history import assemble, stack
from recsys.record import UserRecord
from recsys.store.base import UserState, UserStore
from recsys.types import CANDIDATES, EXTRA, PAD
from recsys.user_list import UserList
from service import wire
from service.callees import Call, Callees
from service.filters import asked_tokens
from service.modes import choose
from service.query import Degraded, Query, Ranked
from service.rungs import listed, take_list
from service.schema import Mode
from service.settings import Settings

logger = logging.getLogger("tandem")


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

    def wants(self, _: Query) -> bool:
        """Every query has a user."""
        return True

    async def run(self, queries: Sequence[Query]) -> Sequence[UserState]:
        """The state of each user."""
        found: dict[int, UserState] = {}
        for generation in {query.generation.id: query.generation for query in queries}.values():
            pinned = [query for query in queries if query.generation.id == generation.id]
            states = await self._store.read_users(
                generation.id, generation.manifest.user_buckets, [query.user_id for query in pinned]
            )
            found.update(zip(map(id, pinned), states, strict=True))
        return [found[id(query)] for query in queries]

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
        query.history = assemble(query.record, since, generation.rows_of, generation.event_types)
        query.seen = np.concatenate([query.record.seen, query.history[0]])
        query.made_by = choose(query, self._settings)
        if query.made_by == Mode.BATCH:
            take_list(query)


class RetrievalSource:
    """Candidates from every source, or tower scores for those of a list: one call for the batch."""

    name, degraded, share = "retrieve", Degraded.RETRIEVAL, 0.6

    def __init__(self, callees: Callees) -> None:
        self._retrieve = callees.retrieve
        self._complete = callees.complete

    def wants(self, query: Query) -> bool:
        """A batch list stands as it is."""
        return query.made_by != Mode.BATCH

    async def run(self, queries: Sequence[Query]) -> Sequence[Any]:
        """A RETRIEVED record for each; both calls of a mixed batch at once, and one that breaks fails its own rows."""
        anew = [query for query in queries if query.made_by != Mode.HYBRID]
        hybrid = [query for query in queries if query.made_by == Mode.HYBRID]
        if not (anew and hybrid):
            rows = await (self._anew if anew else self._completed)(queries)
            if wire.failed(rows).all():
                raise StageError("retrieval failed for every query")
            return list(rows)
        parts = [(part, ask) for part, ask in ((anew, self._anew), (hybrid, self._completed)) if part]
        answers = await asyncio.gather(*(ask(part) for part, ask in parts), return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        if len(errors) == len(parts):
            raise errors[0]
        found: dict[int, Any] = {}
        for (part, _), answer in zip(parts, answers, strict=True):
            if isinstance(answer, BaseException):
                logger.warning("Half of a batch was not retrieved: %s", str(answer) or type(answer).__name__)
                answer = np.zeros(len(part), wire.RETRIEVED)
                answer["failed"] = 1
            found.update(zip(map(id, part), answer, strict=True))
        if all(row["failed"] for row in found.values()):
            raise StageError("retrieval failed for every query")
        return [found[id(query)] for query in queries]

    async def _anew(self, queries: Sequence[Query]) -> np.ndarray:
        asked = history_table(wire.RETRIEVE, queries)
        for query, row in zip(queries, asked, strict=True):
            extra = list(query.extra)[:EXTRA]
            row["extra"][: len(extra)] = extra
            if query.filter:
                row["filter"] = packed(asked_tokens(query))
        return await answered(self._retrieve, asked, wire.RETRIEVED)

    async def _completed(self, queries: Sequence[Query]) -> np.ndarray:
        asked = history_table(wire.RANK, queries)
        for query, row in zip(queries, asked, strict=True):
            items, sources = (each[:CANDIDATES] for each in listed(query))
            row["items"][: len(items)], row["sources"][: len(items)] = items, sources
        return await answered(self._complete, asked, wire.RETRIEVED)

    def put(self, query: Query, found: Any) -> None:
        """Set the candidates, best tower score first."""
        if found["failed"]:
            query.leave_out(self.degraded)
            self.fall_back(query)
            return
        real = found["items"] != PAD
        query.set_candidates(found["items"][real], found["tower"][real], found["sources"][real])
        if query.extra:
            mine = [query.extra.get(row, 0) for row in query.items.tolist()]
            query.sources = query.sources | np.array(mine, np.uint8)

    def fall_back(self, query: Query) -> None:
        """The list that was made before where the user has one, else what is popular."""
        take_list(query)


class RankingScorer:
    """The ranker's score for every candidate: one call for the batch."""

    name, degraded, share = "rank", Degraded.RANKING, 1.0

    def __init__(self, callees: Callees) -> None:
        self._rank = callees.rank

    def wants(self, query: Query) -> bool:
        """Lists keep their order."""
        return can_rank(query) and len(query.items) > 0

    async def run(self, queries: Sequence[Query]) -> Sequence[Any]:
        """A RANKED record for each."""
        asked = rank_table(wire.RANK, queries, queries)
        scored = await answered(self._rank, asked, wire.RANKED)
        if wire.failed(scored).all():
            raise StageError("ranking failed for every query")
        return list(scored)

    def put(self, query: Query, found: Any) -> None:
        """Set the scores."""
        if found["failed"]:
            query.leave_out(self.degraded)
            return
        query.scores = found["scores"][: len(query.items)].copy()  # or what the whole batch was told lives on with it
        # Ranking has not heard of every item yet that retrieval has: those wait for the next request.
        known = query.scores != -np.inf
        if not known.all():
            query.keep(known)

    def fall_back(self, query: Query) -> None:
        """Retrieval's order stands."""


def can_rank(query: Query) -> bool:
    """Whether a query's candidates are retrieval's: lists carry no tower scores to rank by."""
    return query.made_by != Mode.BATCH and Degraded.RETRIEVAL not in query.degraded


def history_table(dtype: np.dtype, queries: Sequence[Query]) -> np.ndarray:
    """Records of `dtype` with the histories of queries, and by when their answers must be there."""
    if untold := [query for query in queries if query.told is None]:
        _tell(untold)
    return wire.asking(dtype, [query.told for query in queries if query.told is not None])


def _tell(queries: Sequence[Query]) -> None:
    """Put what the hops are told of each query's history into it: every stage tells the same."""
    offset = time.time() - time.monotonic()
    generations, dues = [query.generation.id for query in queries], [query.due + offset for query in queries]
    past = stack(
        [query.history for query in queries], [query.now for query in queries], [query.context for query in queries]
    )
    for query, told in zip(queries, wire.told(generations, dues, past), strict=True):
        query.told = told


def rank_table(dtype: np.dtype, queries: Sequence[Query], candidates: Sequence[Query | Ranked]) -> np.ndarray:
    """Records of `dtype` with the histories of queries and the candidates of each."""
    table = history_table(dtype, queries)
    for told, row in zip(candidates, table, strict=True):
        count = len(told.items)
        row["items"][:count], row["tower"][:count] = told.items, told.tower
        row["sources"][:count] = told.sources
    return table


async def answered(call: Call, asked: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """What a call gives for records; StageError where it is not one for each."""
    found = wire.as_table(await call(wire.as_bytes(asked)), dtype)
    if len(found) != len(asked):
        raise StageError(f"{len(found)} answers came for {len(asked)} queries")
    return found
