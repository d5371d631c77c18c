"""The order of a request's stages, written once; the runner that times, counts, bounds and replaces them."""

from __future__ import annotations

import asyncio
import logging
import time

from recsys.store.base import UserStore
from service import metrics
from service.history import assemble
from service.query import Query
from service.stages import (
    Call,
    ExcludedItemsFilter,
    RankingScorer,
    RetrievalSource,
    SeenItemsFilter,
    SlateSelector,
    Stage,
    UnavailableItemsFilter,
    UserHydrator,
)

logger = logging.getLogger("tandem")


class Pipeline:
    """Takes a batch of queries through every stage. Stages that fail or are late are replaced, never awaited twice."""

    def __init__(self, store: UserStore, retrieve: Call, rank: Call) -> None:
        """retrieve, rank: calls over wire rows."""
        self._hydrate = UserHydrator(store)
        self._retrieve = RetrievalSource(retrieve)
        self._filters = (SeenItemsFilter(), ExcludedItemsFilter(), UnavailableItemsFilter())
        self._rank = RankingScorer(rank)
        self._select = SlateSelector(self._filters)

    async def run(self, queries: list[Query]) -> None:
        """hydrate → sources → score → filter → select, for queries that wait together.

        Filters come after the scorer: the ranker's features know a candidate's place among the others, and training
        scored whole lists.
        """
        metrics.batch_queries.observe(len(queries))
        await self._stage(self._hydrate, queries)
        for query in queries:
            query.history = assemble(query)
        await self._stage(self._retrieve, queries)
        await self._stage(self._rank, queries)
        for query in queries:
            self._filter(query)
            self._select.select(query)

    async def _stage(self, stage: Stage, queries: list[Query]) -> None:
        """Run one stage within its share of the time left; where it can't, take the next rung and say so."""
        start = time.monotonic()
        left = min(query.due for query in queries) - start
        try:
            if left <= 0:  # a stage that never waits would not notice
                raise TimeoutError
            async with asyncio.timeout(left * stage.share):
                await stage.run(queries)
        except Exception as error:
            logger.warning("Stage %s was left out: %s", stage.name, str(error) or type(error).__name__)
            stage.fall_back(queries)
            for query in queries:
                query.degraded.append(stage.degraded)
        for query in queries:
            if stage.degraded in query.degraded:
                metrics.degraded_total.labels(stage.degraded).inc()
        metrics.stage_seconds.labels(stage.name).observe(time.monotonic() - start)

    def _filter(self, query: Query) -> None:
        for rule in self._filters:
            kept = rule.kept(query)
            removed = int(len(kept) - kept.sum())
            if removed:
                query.keep(kept)
                query.removed[rule.reason] = removed
                metrics.removed_total.labels(rule.reason).inc(removed)
