"""The order of a request's stages, written once; the runner that times, counts, bounds and replaces them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from recsys.store.base import UserStore
from service.backends.backends import Backends
from service.recommend.circuit_breaker import Breaker
from service.recommend.patience import Patience
from service.recommend.query import Degraded, Query, Ranked
from service.recommend.slate import make_slate
from service.recommend.stages import RankingScorer, RetrievalSource, Stage, UserHydrator
from service.settings import Settings
from service.telemetry import metrics
from service.telemetry.outage import Outage
from service.telemetry.throttled_logger import ThrottledLogger

RESERVE = 0.008
"""Seconds of a deadline kept for filters, selection and the reply, for a whole batch."""

GONE_SECONDS = 0.1
"""After less, whoever goes says nothing of the stage it waited for: clients hedge."""

Land = Callable[[Query, Exception | None], None]
"""Told of each query as soon as its slate is there, or of what broke."""


def nobody(_: Query, error: Exception | None) -> None:
    """Tell nobody; who waits for the whole batch hears of what broke."""
    if error:
        raise error


def nowhere(_: list[Query]) -> None:
    """Where queries go on that are not taken further."""


UNUSABLE = ThrottledLogger("Stage %s: the result for a query can't be used.")


class Pipeline:
    """Takes batches of queries through every stage.

    Queries of one batch are asked for together, but each has its own deadline: one that can wait no longer goes on
    alone, on the next rung, and the others don't notice.
    """

    def __init__(
        self,
        store: UserStore,
        backends: Backends,
        settings: Settings,
        wrap: Callable[[Stage], Stage] = lambda stage: stage,
        redis: Outage | None = None,
    ) -> None:
        """wrap: what each stage is put into. redis: where this process reports how the store is."""
        stages: list[Stage] = [UserHydrator(store, settings), RetrievalSource(backends), RankingScorer(backends)]
        self._guarded = [(wrap(stage), Breaker()) for stage in stages]
        self.outages = {
            Degraded.STORE: redis or Outage("Redis", "Answers are made without users' histories."),
            Degraded.RETRIEVAL: Outage("retrieval", "Answers are users' lists, or popular items."),
            Degraded.RANKING: Outage("ranking", "Answers keep the order of retrieval."),
        }
        self._seconds = {stage.name: metrics.stage_seconds.labels(stage.name).observe for stage in stages}
        for stage in stages:
            metrics.stage_away.labels(stage.degraded).set(0)

    @property
    def away(self) -> list[str]:
        """The stages that queries do without now, as an answer's `degraded` names them."""
        return [str(stage.degraded) for stage, breaker in self._guarded if not breaker.closed]

    @property
    def recovering(self) -> bool:
        """Whether some stage is away, or back for too short a time to count."""
        return bool(self.away) or any(outage.away for outage in self.outages.values())

    async def run(self, queries: Sequence[Query], land: Land = nobody) -> None:
        """hydrate → sources → score → filter → select, for queries that wait together.

        Filters come after the scorer: the ranker's features know a candidate's place among the others, and training
        scored whole lists.
        """
        metrics.batch_queries.observe(len(queries))
        self._prepare_visitors(queries)
        await self._from(0, list(queries), land)

    async def hydrate(self, query: Query) -> None:
        """The first stage alone: what is known of a query's user."""
        stage, breaker = self._guarded[0]
        start = time.monotonic()
        asked = self._admitted(stage, breaker, [query], start)
        if asked:
            await self._ask(stage, breaker, asked, start, nowhere)

    def at_once(self, query: Query) -> None:
        """A slate from what is here, for a query that can't wait for anything."""
        self._prepare_visitors([query])
        for stage, _ in self._guarded:
            if stage.wants(query):
                self._leave_out(stage, query)
        self._finish(query)

    def _prepare_visitors(self, queries: Sequence[Query]) -> None:
        """Set history and mode of the queries without a user, which the first stage does not want."""
        hydrator, _ = self._guarded[0]
        for query in queries:
            if query.user_id is None:
                hydrator.fall_back(query)

    async def _from(self, at: int, queries: list[Query], land: Land) -> None:
        """Everything from stage `at` on."""
        alone: list[asyncio.Task[None]] = []
        for after, (stage, breaker) in enumerate(self._guarded[at:], at + 1):

            def go_on(others: list[Query], after: int = after) -> None:
                if others:
                    alone.append(asyncio.create_task(self._from(after, others, land)))

            start = time.monotonic()
            asked = self._admitted(stage, breaker, queries, start)
            if not asked:
                continue
            if len(asked) < len(queries):
                chosen = set(map(id, asked))
                go_on([query for query in queries if id(query) not in chosen])
            queries = await self._ask(stage, breaker, asked, start, go_on)
        for query in queries:
            land(query, self._broke(query))
        if alone:  # to gather nothing takes two turns of the loop
            await asyncio.gather(*alone)

    def _admitted(self, stage: Stage, breaker: Breaker, queries: list[Query], now: float) -> list[Query]:
        """The queries that the stage is asked for; the others do without it, and say so where it would have been."""
        asked: list[Query] = []
        without: list[Query] = []
        for query in queries:
            if stage.wants(query):
                able = breaker.closed and breaker.enough((query.due - RESERVE - now) * stage.share)
                (asked if able else without).append(query)
        if without and not asked:  # whoever has the longest time finds out the most
            longest = max(without, key=lambda query: query.due)
            left = (longest.due - RESERVE - now) * stage.share
            if left > 0 and breaker.tries(left):
                asked.append(longest)
                without.remove(longest)
        for query in without:
            self._leave_out(stage, query)
        return asked

    async def _ask(
        self,
        stage: Stage,
        breaker: Breaker,
        asked: list[Query],
        start: float,
        go_on: Callable[[list[Query]], None],
    ) -> list[Query]:
        """Ask for a batch; those who can wait no longer go on without. The ones that got an answer, or none at all."""

        def leave(late: list[Query]) -> None:
            for query in late:
                self._leave_out(stage, query)
            go_on(late)

        latest = {id(query): start + (query.due - RESERVE - start) * stage.share for query in asked}
        patience = Patience(asked, latest, leave)
        tried, breaker.tried = breaker.tried, None
        try:
            found, error = await patience.wait(stage.run(asked))
        except asyncio.CancelledError:  # the one request of the batch is cancelled; a long wait counts all the same
            seconds = time.monotonic() - start
            if seconds > GONE_SECONDS:
                self._failed(stage, breaker, seconds)
            elif tried is not None:
                breaker.untold(tried)
            raise
        waiting, seconds = patience.waiting, time.monotonic() - start
        self._seconds[stage.name](seconds)
        if not waiting:
            self._failed(stage, breaker, seconds)
        elif error:
            self._failed(stage, breaker, error=error)
            for query in waiting:
                self._leave_out(stage, query)
        else:
            self._worked(stage, breaker, seconds)
            self._put(stage, asked, found, waiting)
        return waiting

    def _failed(
        self, stage: Stage, breaker: Breaker, seconds: float | None = None, error: BaseException | None = None
    ) -> None:
        """A batch did not come back, for `error` or for `seconds`; the log has a line where the stage is away now."""
        breaker.failed(seconds)
        if not breaker.closed:
            late = "" if seconds is None else f"no answer within {1000 * seconds:.0f} ms"
            self.outages[stage.degraded].failed(late or str(error) or type(error).__name__)
            metrics.stage_away.labels(stage.degraded).set(1)

    def _worked(self, stage: Stage, breaker: Breaker, seconds: float) -> None:
        if not breaker.closed:
            metrics.stage_away.labels(stage.degraded).set(0)
        breaker.worked(seconds)
        self.outages[stage.degraded].worked()

    def _put(self, stage: Stage, asked: list[Query], found: Sequence[Any], waiting: list[Query]) -> None:
        still = set(map(id, waiting)) if len(waiting) < len(asked) else None
        for query, of_query in zip(asked, found, strict=True):
            if still is None or id(query) in still:
                try:
                    stage.put(query, of_query)
                except Exception as error:
                    UNUSABLE.warn(stage.name, error=error)
                    self._leave_out(stage, query)

    def _leave_out(self, stage: Stage, query: Query) -> None:
        query.leave_out(stage.degraded)
        self.outages[stage.degraded].without()
        stage.fall_back(query)

    def _broke(self, query: Query) -> Exception | None:
        """Finish a query; what breaks is that query's alone."""
        try:
            self._finish(query)
        except Exception as error:
            return error
        return None

    def _finish(self, query: Query) -> None:
        """Everything that waits for nobody."""
        query.candidates = Ranked(query.items, query.tower, query.sources, query.scores)
        make_slate(query)
        count_answer(query)


def count_answer(query: Query) -> None:
    """Count what an answer left out, and what filters removed."""
    for degraded in query.degraded:
        metrics.left_out(degraded)(1)
    for reason, count in query.removed.items():
        metrics.removed(reason)(count)
