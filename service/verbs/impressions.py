"""Log slates that were shown, with the features that ranked them. No training reads this log yet.

Written after the reply, a few at once, and never at its cost: what can't be had or written is counted and let go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque

import numpy as np

from recsys.candidates import places
from recsys.errors import StageError
from recsys.impression import Impression
from recsys.store.base import UserStore
from recsys.types import Id, is_load_test
from service.backends import wire
from service.backends.backends import Call
from service.recommend.query import Degraded, Query
from service.recommend.stages import answered, rank_table
from service.schema import Mode
from service.telemetry import metrics

logger = logging.getLogger("tandem")

AT_ONCE = 16
"""Slates whose features are asked for together."""

WAITING = 256
"""Slates that wait to be logged, at most; beyond, the oldest go."""

ROUNDING = 1e-4
"""Scores of one candidate in two batches differ by less; its features do not at all."""

REST_SECONDS = 0.2
PATIENCE = 2.0
"""Seconds that a slate waits at most, then ranking has for the features of a batch, then the store to take them: nobody
waits for it, but who is forgotten has to be forgotten once more after all three (`service.verbs.users`)."""


class ImpressionLog:
    """Logs slates, as many a second as it may."""

    def __init__(self, users: UserStore, features: Call, per_second: float) -> None:
        self._users = users
        self._features = features
        self._per_second = per_second
        self._tokens, self._filled = per_second, time.monotonic()
        self._waiting: deque[tuple[Query, float]] = deque(maxlen=WAITING)
        self._gone: set[str] = set()  # forgotten while their slates were on the way
        self._logging, self._noted = asyncio.Lock(), asyncio.Event()

    def note(self, query: Query) -> None:
        """Keep a slate to be logged, if there is room; only one that the ranker made for a user with an id.

        No event could label the slate of a visitor without an id, and no forgetting would reach it. No user sees
        the slate of a load-test user.
        """
        if query.user_id is None or is_load_test(query.user_id):
            return
        if query.made_by == Mode.BATCH or not len(query.items) or self._per_second == 0:
            return
        if Degraded.RETRIEVAL in query.degraded or Degraded.RANKING in query.degraded:
            return
        if self._may():
            if len(self._waiting) == WAITING:
                metrics.impressions_total.labels("lost").inc()
            self._waiting.append((query, time.time()))
            self._noted.set()

    def forget(self, user_id: Id) -> None:
        """Log nothing of a user that is not logged yet."""
        self._gone.add(str(user_id))
        kept = [told for told in self._waiting if str(told[0].user_id) != str(user_id)]
        self._waiting = deque(kept, maxlen=WAITING)

    async def follow(self) -> None:
        """Log what is noted, for ever."""
        while True:
            await self._noted.wait()  # who shows nothing is not woken for it
            await asyncio.sleep(REST_SECONDS)
            self._noted.clear()
            await self.flush()

    async def flush(self) -> None:
        """Log what is noted, and return when it is, or lost: within 4 * PATIENCE, as what waits goes stale."""
        async with self._logging:
            self._gone.clear()
            while self._waiting:
                batch = self._next()
                try:
                    await self._log(batch)
                except Exception as error:
                    metrics.impressions_total.labels("lost").inc(len(batch))
                    logger.debug("%d impressions were lost: %s", len(batch), str(error) or type(error).__name__)

    def _next(self) -> list[tuple[Query, float]]:
        """The next that wait, without those that have waited for too long."""
        popped = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        batch = [(query, moment) for query, moment in popped if moment >= time.time() - PATIENCE]
        metrics.impressions_total.labels("lost").inc(len(popped) - len(batch))
        return batch

    async def _log(self, batch: list[tuple[Query, float]]) -> None:
        queries = [query for query, _ in batch]
        due = time.monotonic() + PATIENCE
        # What topped a slate up is not among the candidates.
        stood = [at[at >= 0] for at in (places(query.items, query.candidates.items) for query in queries)]
        asked = rank_table(wire.FEATURES_OF, queries, [query.candidates for query in queries])
        asked["due"] = due + time.time() - time.monotonic()
        for row, places_of_one in zip(asked, stood, strict=True):
            row["places"][: len(places_of_one)] = places_of_one
        async with asyncio.timeout(PATIENCE):
            found = await answered(self._features, asked, wire.FEATURES_FOUND)
        if wire.failed(found).all():
            raise StageError("ranking failed")
        told = [
            impression
            for (query, moment), of_query, row in zip(batch, stood, found, strict=True)
            if (impression := _impression(query, moment, of_query, row)) is not None
        ]
        rows = [(slate.user_id, slate.pack()) for slate in told if str(slate.user_id) not in self._gone]
        async with asyncio.timeout(PATIENCE):
            await self._users.add_impressions(rows)
        metrics.impressions_total.labels("logged").inc(len(rows))
        metrics.impressions_total.labels("changed").inc(len(batch) - len(told))

    def _may(self) -> bool:
        now = time.monotonic()
        self._tokens = min(self._per_second, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _impression(query: Query, moment: float, places: np.ndarray, found: np.ndarray) -> Impression | None:
    """What was shown; None where ranking, asked again, does not score as it did: an item was put in between."""
    scores = found["scores"][: len(places)]
    used = query.candidates.scores[places]
    assert query.user_id is not None
    if found["failed"] or not len(places) or not np.allclose(scores, used, rtol=ROUNDING, atol=ROUNDING):
        return None
    items = query.candidates.items[places]
    shown = {row: place for place, row in enumerate(query.items.tolist())}
    return Impression(
        generation=query.generation.id,
        user_id=query.user_id,
        time=moment,
        asked=query.now,
        mode=query.made_by.value,
        items=[query.generation.item_id(row) for row in items.tolist()],
        places=np.array([shown[row] for row in items.tolist()], np.int16),
        scores=used,
        sources=query.candidates.sources[places],
        features=found["features"][: len(places)].copy(),
    )
