"""The order of a request's stages, written once; the runner that times, counts, bounds and replaces them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from recsys.store.base import UserStore
from service import metrics
from service.breaker import Breaker
from service.callees import Callees
from service.complaint import Complaint
from service.counting import LATER
from service.patience import Patience
from service.query import Query, Ranked
from service.settings import Settings
from service.slate import make_slate
from service.stages import RankingScorer, RetrievalSource, Stage, UserHydrator

logger = logging.getLogger("tandem")

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


class Pipeline:
    """Takes batches of queries through every stage.

    Queries of one batch are asked for together, but each has its own deadline: one that can wait no longer goes on
    alone, on the next rung, and the others don't notice.
    """

    def __init__(
        self,
        store: UserStore,
        callees: Callees,
        settings: Settings,
        wrap: Callable[[Stage], Stage] = lambda stage: stage,
    ) -> None:
        """wrap: what each stage is put into."""
        stages: list[Stage] = [UserHydrator(store, settings), RetrievalSource(callees), RankingScorer(callees)]
        self._guarded = [(wrap(stage), Breaker()) for stage in stages]
        self._complaints = {stage.name: Complaint(f"Stage {stage.name}") for stage in stages}
        self._seconds = {stage.name: metrics.stage_seconds.labels(stage.name).observe for stage in stages}
        for stage in stages:
            metrics.stage_away.labels(stage.degraded).set(0)

    @property
    def away(self) -> list[str]:
        """The stages that queries do without now, as an answer's `degraded` names them."""
        return [str(stage.degraded) for stage, breaker in self._guarded if not breaker.closed]

    async def run(self, queries: Sequence[Query], land: Land = nobody) -> None:
        """hydrate → sources → score → filter → select, for queries that wait together.

        Filters come after the scorer: the ranker's features know a candidate's place among the others, and training
        scored whole lists.
        """
        LATER.count(metrics.batch_queries.observe, len(queries))
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
        for stage, _ in self._guarded:
            if stage.wants(query):
                _leave_out(stage, query)
        self._finish(query)

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
        for query in queries:
            if not stage.wants(query):
                continue
            left = (query.due - RESERVE - now) * stage.share
            if (breaker.closed and breaker.enough(left)) or (left > 0 and not asked and breaker.tries(left)):
                asked.append(query)
            else:
                _leave_out(stage, query)
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
                _leave_out(stage, query)
            go_on(late)

        latest = {id(query): start + (query.due - RESERVE - start) * stage.share for query in asked}
        patience, tries = Patience(asked, latest, leave), not breaker.closed
        try:
            found, error = await patience.wait(stage.run(asked))
        except asyncio.CancelledError:  # whoever asked alone has gone: that it waited for long counts all the same
            seconds, was_closed = time.monotonic() - start, breaker.closed
            if seconds > GONE_SECONDS:
                breaker.failed(seconds)
                _show(stage, breaker, was_closed)
            elif tries:
                breaker.untold()
            raise
        waiting, seconds, was_closed = patience.waiting, time.monotonic() - start, breaker.closed
        LATER.count(self._seconds[stage.name], seconds)
        if not waiting:
            if breaker.failed(seconds):  # else it was the client who had no time
                self._complaints[stage.name].say(f"was late: left after {1000 * seconds:.0f} ms.")
        elif error:
            self._complaints[stage.name].say(f"was left out: {str(error) or type(error).__name__}")
            breaker.failed()
            for query in waiting:
                _leave_out(stage, query)
        else:
            breaker.worked(seconds)
            _put(stage, asked, found, waiting)
        _show(stage, breaker, was_closed)
        return waiting

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
        LATER.count(metrics.left_out(degraded))
    for reason, count in query.removed.items():
        LATER.count(metrics.removed(reason), count)


def _show(stage: Stage, breaker: Breaker, was_closed: bool) -> None:
    if breaker.closed != was_closed:
        metrics.stage_away.labels(stage.degraded).set(not breaker.closed)


def _put(stage: Stage, asked: list[Query], found: Sequence[Any], waiting: list[Query]) -> None:
    still = set(map(id, waiting))
    for query, of_query in zip(asked, found, strict=True):
        if id(query) in still:
            try:
                stage.put(query, of_query)
            except Exception:
                logger.exception("Stage %s: what was found for a query can't be used.", stage.name)
                _leave_out(stage, query)


def _leave_out(stage: Stage, query: Query) -> None:
    query.leave_out(stage.degraded)
    stage.fall_back(query)
