"""The pipeline of a request: read the user, retrieve candidates, rank them, with time limits and fallbacks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from copy import copy
from functools import partial
from itertools import chain
from typing import Any

from recsys.slates.query import Degraded, Query, Ranked
from recsys.slates.slate import make_slate
from recsys.slates.slate_ages import slate_freshness
from recsys.store.redis.user_store import RedisUserStore
from service.backends.calls import Backends
from service.recommend.circuit_breaker import CircuitBreaker
from service.recommend.guard import RESERVE, StageGuard
from service.recommend.stages import RankingScorer, RetrievalSource, Stage, UserHydrator
from service.settings import Settings
from service.telemetry import metrics
from service.telemetry.outage import Outage
from service.telemetry.throttled_logger import ThrottledLogger

UNUSABLE = ThrottledLogger("Stage %s: the result for a query can't be used.")


class Pipeline:
    """Takes batches of queries through the stages.

    A stage may take its share of the time that the query with the latest deadline has left. A query whose own deadline
    is earlier is finished by its own request, and no stage changes it afterwards. `ArmBatchers` merges only queries
    whose deadlines are alike.
    """

    def __init__(
        self,
        store: RedisUserStore,
        backends: Backends,
        settings: Settings,
        wrap: Callable[[Stage], Stage] = lambda stage: stage,
        redis: Outage | None = None,
    ) -> None:
        """wrap: returns what runs in place of a stage. redis: the outage log of the store."""
        outages = {
            Degraded.STORE: redis or Outage("Redis", "Answers are made without users' histories."),
            Degraded.RETRIEVAL: Outage("retrieval", "Answers are users' lists, or popular items."),
            Degraded.RANKING: Outage("ranking", "Answers keep the order of retrieval."),
        }
        stages: list[Stage] = [UserHydrator(store), RetrievalSource(backends), RankingScorer(backends)]
        self._stages = [wrap(stage) for stage in stages]
        self.guards = {
            stage.degraded: StageGuard(stage.name, stage.degraded, outages[stage.degraded]) for stage in stages
        }
        self._probe_seconds = RESERVE + settings.deadline_ms / 1000
        self._probes: set[asyncio.Task[Any]] = set()  # the event loop holds tasks weakly

    @property
    def away(self) -> list[str]:
        """The stages whose circuit breaker is open, by their names in `degraded`."""
        return [str(degraded) for degraded, guard in self.guards.items() if guard.away]

    @property
    def arms_away(self) -> list[str]:
        """The generations of arms for which retrieval or ranking fails now."""
        found = [self.guards[stage].arms_away for stage in (Degraded.RETRIEVAL, Degraded.RANKING)]
        return list(dict.fromkeys(chain(*found)))

    @property
    def recovering(self) -> bool:
        """Whether a stage is away, or has been back for too short a time to be logged as back."""
        return bool(self.away) or any(guard.outage.away for guard in self.guards.values())

    async def run(self, queries: Sequence[Query], trial: bool = False) -> None:
        """Make the slates of queries that no batcher merges; trial: as for `enrich`."""
        await self.enrich(queries, trial)
        for query in queries:
            self.finish(query)

    async def enrich(self, queries: Sequence[Query], trial: bool = False) -> None:
        """Run the stages for a batch of one generation: hydrate, retrieve, rank.

        trial: whether the circuit breakers ignore the batch: a generation that fails must not open them for the others.
        Filters come after ranking: a feature of the ranker is the candidate's place among the others, and training
        scored lists that were not filtered.
        """
        if any(query.is_traffic for query in queries):
            metrics.batch_queries.observe(len(queries))
        for stage in self._stages:
            if unfinished := [query for query in queries if not query.finished]:
                arm = unfinished[0].assigned.generation
                breaker = CircuitBreaker() if trial else self.guards[stage.degraded].breaker_of(arm)
                await self._enrich(stage, breaker, unfinished)

    async def hydrate(self, queries: Sequence[Query], trial: bool = False) -> None:
        """Run the first stage alone: what is stored of the users of the queries.

        trial: whether the circuit breaker ignores a failure of this batch.
        """
        stage = self._stages[0]
        breaker = self.guards[stage.degraded].breaker_of(None)
        await self._enrich(stage, CircuitBreaker() if trial and breaker.closed else breaker, queries)

    def finish(self, query: Query) -> None:
        """Make the slate of a query, with the fallbacks of the stages that it has not passed."""
        query.finished = True
        for stage in self._stages[query.stages_passed :]:
            self._fall_back(stage, query)
        query.candidates = Ranked(query.items, query.tower, query.sources, query.scores)
        make_slate(query)
        query.freshness = slate_freshness(query, time.time())
        count_answer(query)

    async def _enrich(self, stage: Stage, breaker: CircuitBreaker, queries: Sequence[Query]) -> None:
        """Run a stage for a batch; a query without a result gets the stage's fallback."""
        wanted = [query for query in queries if stage.is_needed_by(query)]
        found: Sequence[Any] = ()
        if wanted and breaker.closed:
            found = await self._call(stage, breaker, wanted)
        elif wanted and breaker.start_probe():
            self._start_probe(stage, breaker, wanted[0])
        results = dict(zip(map(id, wanted), found, strict=False))  # nothing is found if the call failed
        for query in queries:
            if not query.finished:
                self._put(stage, query, results.get(id(query)))
                query.stages_passed += 1

    def _put(self, stage: Stage, query: Query, result: Any) -> None:
        if result is not None:
            try:
                stage.put(query, result)
                return
            except Exception as error:
                UNUSABLE.warn(stage.name, error=error)
        self._fall_back(stage, query)

    def _fall_back(self, stage: Stage, query: Query) -> None:
        """Give a query the stage's fallback, and mark the query as degraded if it needed the stage."""
        if stage.is_needed_by(query):
            query.leave_out(stage.degraded)
            if query.is_traffic:
                self.guards[stage.degraded].outage.without()
        stage.fall_back(query)

    def _start_probe(self, stage: Stage, breaker: CircuitBreaker, query: Query) -> None:
        """Call a stage with a copy of a query in the background: no request waits for a stage that is away."""
        probe = copy(query)
        probe.due, probe.wire_history, probe.is_traffic = time.monotonic() + self._probe_seconds, None, False
        task = asyncio.create_task(self._call(stage, breaker, [probe]), context=Context())
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    async def _call(self, stage: Stage, breaker: CircuitBreaker, queries: Sequence[Query]) -> Sequence[Any]:
        """The result of each query; none if the stage failed or did not return in time."""
        seconds = stage.share * (max(query.due for query in queries) - RESERVE - time.monotonic())
        traffic = any(query.is_traffic for query in queries)
        found = await self.guards[stage.degraded].call(partial(stage.run, queries), seconds, breaker, traffic)
        return () if found is None else found


def count_answer(query: Query) -> None:
    """Count the stages that an answer left out, and the candidates that filters removed."""
    if not query.is_traffic:
        return
    for degraded in query.degraded:
        metrics.left_out(degraded, query.surface)(1)
    for reason, count in query.removed.items():
        metrics.removed(reason)(count)
