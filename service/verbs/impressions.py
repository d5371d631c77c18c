"""The log of impressions: lists of items that were shown to users, with the features and scores that ranked them.

They are written to Redis in batches, after the reply. One that can't be logged is counted and dropped. `python -m flows
drain` moves them to Parquet files, which trainings and the reports of experiments read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recsys.errors import StageError
from recsys.lists.impression import Impression
from recsys.model.features import names, own_names
from recsys.retrieval.candidates import places
from recsys.slates.query import Degraded, Query
from recsys.store.redis.user_store import RedisUserStore
from recsys.types import F32, I32, U16, Id, is_load_test
from service.backends import wire
from service.backends.calls import Call
from service.recommend.records import answered, rank_table
from service.telemetry import metrics
from service.telemetry.periodic import repeat

logger = logging.getLogger("tandem")

BATCH = 16
"""Slates that are logged together."""

QUEUE = 256
"""Slates that may wait; if more come, the oldest are dropped."""

ROUNDING = 1e-4
"""The difference that the score of a candidate may have between two batches. Features differ only if another process
ranks, which read the counts of late events, or the items put, at another moment."""

CONTEXT_LENGTH = 64
"""Characters of a value of the context that are logged. A request may send longer ones, which no generation has."""

REST_SECONDS = 0.2
"""Wait from a slate to the batch that logs it, so that several slates share a batch."""

STEP_SECONDS = 2.0
"""Seconds for each step of a slate: waiting, the call of ranking, and the write. Users who are deleted are deleted once
more after all three steps (`service.verbs.users`)."""


class ImpressionLog:
    """Logs slates, at most `per_second`. features: the call of ranking."""

    def __init__(self, users: RedisUserStore, features: Call, per_second: float) -> None:
        self._users = users
        self._features = features
        self._per_second, self._most_tokens = per_second, max(1.0, per_second)
        self._tokens, self._filled = self._most_tokens, time.monotonic()
        self._waiting: deque[tuple[Query, float]] = deque(maxlen=QUEUE)
        self._deleted: set[str] = set()  # users deleted while a batch with their slates was in flight
        self._logging, self._noted = asyncio.Lock(), asyncio.Event()

    def note(self, query: Query) -> None:
        """Queue a slate that the ranker made or that takes part in an experiment, if the rate allows.

        The slates of visitors without an id are not logged: no event could label such a slate, and no deletion would
        reach it. No user sees the slate of a load-test user. The slates of an experiment are logged however they were
        made, also by the control in place of an arm: a report that lacks some of an arm would be biased.
        """
        if query.user_id is None or is_load_test(query.user_id):
            return
        if not len(query.items) or self._per_second == 0:
            return
        if not (query.is_ranked or query.assigned.assignment):
            return
        if not self._take_token():
            metrics.impressions_total.labels("over_rate").inc()
            return
        if len(self._waiting) == QUEUE:
            metrics.impressions_total.labels("lost").inc()
        self._waiting.append((query, time.time()))
        self._noted.set()

    def forget(self, user_id: Id) -> None:
        """Drop the slates of a user that are not logged yet."""
        if self._logging.locked():
            self._deleted.add(str(user_id))
        kept = [(query, moment) for query, moment in self._waiting if str(query.user_id) != str(user_id)]
        self._waiting = deque(kept, maxlen=QUEUE)

    async def follow(self) -> None:
        """Log queued slates, without an end."""
        await repeat("impressions", self._flush_when_noted)

    async def _flush_when_noted(self) -> None:
        await self._noted.wait()
        await asyncio.sleep(REST_SECONDS)
        self._noted.clear()
        await self.flush()

    async def flush(self) -> None:
        """Log the queued slates, or drop them: takes 4 * STEP_SECONDS at most, because slates that wait go stale."""
        async with self._logging:
            while self._waiting:
                batch = self._next()
                try:
                    await self._log(batch)
                except Exception as error:
                    _count_lost(len(batch), error)
            self._deleted.clear()

    def _next(self) -> list[tuple[Query, float]]:
        """The next slates, without stale ones."""
        popped = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        batch = [(query, moment) for query, moment in popped if moment >= time.time() - STEP_SECONDS]
        metrics.impressions_total.labels("lost").inc(len(popped) - len(batch))
        return batch

    async def _log(self, batch: list[tuple[Query, float]]) -> None:
        ranked = [(query, moment) for query, moment in batch if query.is_ranked]
        unranked = [_unranked(query, moment) for query, moment in batch if not query.is_ranked]
        made: list[Impression] = []
        if ranked:
            try:
                made = await self._ranked(ranked)
                metrics.impressions_total.labels("changed").inc(len(ranked) - len(made))
            except Exception as error:  # the slates of an experiment stay: arms that fail would have fewer users
                made = [_unranked(query, moment) for query, moment in ranked if query.assigned.assignment]
                _count_lost(len(ranked) - len(made), error)
        if rows := [*unranked, *made]:
            try:
                await self._write(rows)
            except Exception as error:
                _count_lost(len(rows), error)

    async def _ranked(self, batch: list[tuple[Query, float]]) -> list[Impression]:
        """The impressions of slates with the features of their items, without those that ranking would change now.

        The slates of an experiment stay, without features.
        """
        queries = [query for query, _ in batch]
        # Items that filled up a short slate are not among the candidates: their place is -1.
        shown = [at[at >= 0] for at in (places(query.items, query.candidates.items) for query in queries)]
        request = rank_table(wire.FEATURES_OF, queries, [query.candidates for query in queries])
        request["due"] = time.time() + STEP_SECONDS
        for row, at in zip(request, shown, strict=True):
            row["places"][: len(at)] = at
        async with asyncio.timeout(STEP_SECONDS):
            found = await answered(self._features, request, wire.FEATURES_FOUND)
        if wire.failed(found).all():
            raise StageError("ranking failed")
        made = []
        for (query, moment), at, row in zip(batch, shown, found, strict=True):
            impression = _impression(query, moment, at, row)
            if impression is None and query.assigned.assignment:
                impression = _unranked(query, moment)
            made.append(impression)
        return [each for each in made if each is not None]

    async def _write(self, impressions: list[Impression]) -> None:
        rows = [(each.user_id, each.pack()) for each in impressions if str(each.user_id) not in self._deleted]
        async with asyncio.timeout(STEP_SECONDS):
            await self._users.add_impressions(rows)
        metrics.impressions_total.labels("logged").inc(len(rows))

    def _take_token(self) -> bool:
        """Whether the rate allows one more slate (a token bucket of one second, of one slate at least)."""
        now = time.monotonic()
        self._tokens = min(self._most_tokens, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _impression(query: Query, moment: float, at: np.ndarray, found: np.ndarray) -> Impression | None:
    """The impression of a slate; None if ranking gives other scores now: an item was put since, or another process
    counts other late events.

    at: places of the shown candidates. found: their features and scores.
    """
    scores, used = found["scores"][: len(at)], query.candidates.scores[at]
    if found["failed"] or not len(at) or not np.allclose(scores, used, rtol=ROUNDING, atol=ROUNDING):
        return None
    rows = query.candidates.items[at]
    place_of = {row: place for place, row in enumerate(query.items.tolist())}
    shown = [place_of[row] for row in rows.tolist()]
    features = found["features"][: len(at), : len(names(query.generation.spec))].copy()
    return _of_items(query, moment, rows, shown, used, query.candidates.sources[at], features)


def _unranked(query: Query, moment: float) -> Impression:
    """The impression of a slate that ranking did not order, such as a list: its features are not known, and NaN."""
    scores = np.asarray(query.scores, np.float32)
    features = np.full((len(query.items), len(names(query.generation.spec))), np.nan, np.float32)
    return _of_items(query, moment, query.items, range(len(query.items)), scores, query.sources, features)


def _of_items(
    query: Query, moment: float, rows: I32, shown: Sequence[int], scores: F32, sources: U16, features: F32
) -> Impression:
    """The impression of these items of a slate. shown: the place of each."""
    assert query.user_id is not None
    drawn = query.exploration
    if drawn is not None:
        drawn = replace(drawn, items=[query.generation.item_id(int(row)) for row in drawn.items])
    return Impression(
        generation=query.generation.id,
        user_id=query.user_id,
        time=moment,
        asked=query.now,
        mode=query.made_by.value,
        items=[query.generation.item_id(row) for row in rows.tolist()],
        places=np.array(shown, np.int16),
        scores=scores,
        sources=sources,
        features=features,
        surface=query.surface,
        arms=query.assigned.exposures,
        assigned=query.assigned.assignment,
        context=_context(query),
        from_store=not query.session and Degraded.STORE not in query.degraded,
        dataset=query.generation.dataset,
        own_features=own_names(query.generation.spec),
        exploration=drawn,
    )


def _context(query: Query) -> dict[str, str]:
    """The context of a request in the columns of the generation; a value is cut at CONTEXT_LENGTH."""
    columns = [column for column, _ in query.generation.spec.contexts]
    return {name: query.context_values[name][:CONTEXT_LENGTH] for name in columns if name in query.context_values}


def _count_lost(count: int, error: Exception) -> None:
    metrics.impressions_total.labels("lost").inc(count)
    logger.debug("%d impressions were lost: %s", count, str(error) or type(error).__name__)
