"""The pipeline of a request: read the user, retrieve candidates, rank them, with time limits and fallbacks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from copy import copy
from typing import Any

from recsys.slates.query import Degraded, Query, Ranked
from recsys.slates.slate import make_slate
from recsys.slates.slate_ages import slate_freshness
from recsys.store.redis.user_store import RedisUserStore
from service.backends.calls import Backends
from service.recommend.circuit_breaker import CircuitBreaker
from service.recommend.stages import RankingScorer, RetrievalSource, Stage, UserHydrator
from service.settings import Settings
from service.telemetry import metrics
from service.telemetry.outage import Outage
from service.telemetry.throttled_logger import ThrottledLogger

RESERVE = 0.008
"""Seconds of a deadline that are kept for filters, selection and the response of a batch."""

LEAST_TIMEOUT = 0.02
"""Seconds. A shorter timeout is no failure of the stage: requests with short deadlines must not open its circuit
breaker for the others. It is short enough that requests with a deadline of 100 ms open it if the store hangs."""

ARMS = 8
"""Generations of arms whose circuit breakers are kept: twice those that run at once."""

UNUSABLE = ThrottledLogger("Stage %s: the result for a query can't be used.")


class Pipeline:
    """Takes batches of queries through the stages.

    A stage may take its share of the time that the query with the latest deadline has left. A query whose own deadline
    is earlier is finished by its own request, and no stage changes it afterwards.
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
        stages: list[Stage] = [UserHydrator(store), RetrievalSource(backends), RankingScorer(backends)]
        self._guarded = [(wrap(stage), CircuitBreaker()) for stage in stages]
        self._of_arms: dict[str, list[CircuitBreaker]] = {}
        self._shards_away = backends.shards_away
        self._probe_seconds = RESERVE + settings.deadline_ms / 1000
        self._probes: set[asyncio.Task[Any]] = set()  # the event loop holds tasks weakly
        self.outages = {
            Degraded.STORE: redis or Outage("Redis", "Answers are made without users' histories."),
            Degraded.RETRIEVAL: Outage("retrieval", "Answers are users' lists, or popular items."),
            Degraded.RANKING: Outage("ranking", "Answers keep the order of retrieval."),
        }
        self._seconds = {stage.name: metrics.stage_seconds.labels(stage.name).observe for stage in stages}
        for stage in stages:
            metrics.stage_away.labels(stage.degraded).set(0)
            for reason in ("timeout", "error"):
                metrics.stage_failed(stage.degraded, reason)(0)  # so that the first failure is an increase

    @property
    def away(self) -> list[str]:
        """The stages and shards whose circuit breaker is open, by their names in `degraded`."""
        stages = [str(stage.degraded) for stage, breaker in self._guarded if not breaker.closed]
        return stages + self._shards_away()

    @property
    def arms_away(self) -> list[str]:
        """The generations of arms for which retrieval or ranking fails now."""
        return [arm for arm, breakers in self._of_arms.items() if not all(each.closed for each in breakers[1:])]

    @property
    def recovering(self) -> bool:
        """Whether a stage is away, or has been back for too short a time to be logged as back."""
        return bool(self.away) or any(outage.away for outage in self.outages.values())

    async def run(self, queries: Sequence[Query], trial: bool = False) -> None:
        """Make the slates of queries that no batcher merges; trial: as for `enrich`."""
        await self.enrich(queries, trial)
        for query in queries:
            self.finish(query)

    async def enrich(self, queries: Sequence[Query], trial: bool = False) -> None:
        """Run the stages for a batch of one generation: hydrate, retrieve, rank.

        trial: whether the circuit breakers ignore the batch. A generation that fails must not open them for the others,
        so the generation of an experiment's arm has circuit breakers of its own.
        Filters come after ranking: a feature of the ranker is the candidate's place among the others, and training
        scored lists that were not filtered.
        """
        metrics.batch_queries.observe(len(queries))
        arm = queries[0].assigned.generation if queries else None
        breakers = [breaker for _, breaker in self._guarded] if arm is None else self._breakers_of(arm)
        for (stage, _), breaker in zip(self._guarded, breakers, strict=True):
            if unfinished := [query for query in queries if not query.finished]:
                await self._enrich(stage, CircuitBreaker() if trial else breaker, unfinished)

    async def hydrate(self, queries: Sequence[Query], trial: bool = False) -> None:
        """Run the first stage alone: what is stored of the users of the queries.

        trial: whether the circuit breaker ignores a failure of this batch.
        """
        stage, breaker = self._guarded[0]
        await self._enrich(stage, CircuitBreaker() if trial and breaker.closed else breaker, queries)

    def finish(self, query: Query) -> None:
        """Make the slate of a query, with the fallbacks of the stages that it has not passed."""
        query.finished = True
        for stage, _ in self._guarded[query.stages_passed :]:
            _fall_back(stage, query, self.outages[stage.degraded])
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

    def _breakers_of(self, arm: str) -> list[CircuitBreaker]:
        """The circuit breakers of an arm's generation."""
        if arm not in self._of_arms:
            while len(self._of_arms) >= ARMS:
                self._of_arms.pop(next(iter(self._of_arms)))
            self._of_arms[arm] = [CircuitBreaker() for _ in self._guarded]
        return self._of_arms[arm]

    def _put(self, stage: Stage, query: Query, result: Any) -> None:
        if result is not None:
            try:
                stage.put(query, result)
                return
            except Exception as error:
                UNUSABLE.warn(stage.name, error=error)
        _fall_back(stage, query, self.outages[stage.degraded])

    def _start_probe(self, stage: Stage, breaker: CircuitBreaker, query: Query) -> None:
        """Call a stage with a copy of a query in the background: no request waits for a stage that is away."""
        probe = copy(query)
        probe.due, probe.wire_history = time.monotonic() + self._probe_seconds, None
        task = asyncio.create_task(self._call(stage, breaker, [probe]), context=Context())
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    async def _call(self, stage: Stage, breaker: CircuitBreaker, queries: Sequence[Query]) -> Sequence[Any]:
        """The result of each query; none if the stage failed or did not return in time."""
        start = time.monotonic()
        seconds = stage.share * (max(query.due for query in queries) - RESERVE - start)
        if seconds <= 0:
            return ()
        try:
            async with asyncio.timeout(seconds) as timeout:
                found = await stage.run(queries)
        except Exception as error:
            metrics.stage_failed(stage.degraded, "timeout" if timeout.expired() else "error")(1)
            if not timeout.expired():
                self._count_failure(stage, breaker, str(error) or type(error).__name__)
            elif seconds >= LEAST_TIMEOUT:
                self._count_failure(stage, breaker, f"no answer within {1000 * seconds:.0f} ms")
            return ()
        finally:
            self._seconds[stage.name](time.monotonic() - start)
        if self._is_for_all(breaker):  # an arm that works is no sign that the stage is back for the others
            if not breaker.closed:
                metrics.stage_away.labels(stage.degraded).set(0)
            self.outages[stage.degraded].worked()
        breaker.succeeded()
        return found

    def _count_failure(self, stage: Stage, breaker: CircuitBreaker, reason: str) -> None:
        breaker.failed()
        if not breaker.closed and self._is_for_all(breaker):
            self.outages[stage.degraded].failed(reason)
            metrics.stage_away.labels(stage.degraded).set(1)

    def _is_for_all(self, breaker: CircuitBreaker) -> bool:
        """Whether a circuit breaker is of the stage for all queries, and not of an arm or of a trial."""
        return any(breaker is each for _, each in self._guarded)


def _fall_back(stage: Stage, query: Query, outage: Outage) -> None:
    """Give a query the stage's fallback, and mark the query as degraded if it needed the stage."""
    if stage.is_needed_by(query):
        query.leave_out(stage.degraded)
        outage.without()
    stage.fall_back(query)


def count_answer(query: Query) -> None:
    """Count the stages that an answer left out, and the candidates that filters removed."""
    for degraded in query.degraded:
        metrics.left_out(degraded, query.surface)(1)
    for reason, count in query.removed.items():
        metrics.removed(reason)(count)
