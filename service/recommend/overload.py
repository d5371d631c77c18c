"""Answers under overload: a request that admission control refuses gets the user's precomputed list, if there is one.

Such an answer takes one read of the store and no model. The reads of waiting requests are merged, and their number is
bounded; a request beyond the bound, or of a user without a list, gets 429. While many requests wait, lists answer
first: a computed slate takes the CPU of four answers from lists.
"""

from __future__ import annotations

from collections.abc import Sequence

from recsys.slates.fallbacks import listed
from recsys.slates.query import Degraded, Query
from recsys.types import Mode
from service.recommend.arm_batchers import ArmBatchers
from service.recommend.batcher import RequestBatcher
from service.recommend.guard import RESERVE
from service.recommend.pipeline import Pipeline

MOST = 256
"""Requests that wait for a list in a gateway process, at most. The best number was not measured."""

PREFERRED = 32
"""Requests that wait for a list in a gateway process, from which on lists answer before slates are computed."""

MOST_USERS = 64
"""Users of one read of the store, at most: two full batches of slates."""


class ListsUnderOverload:
    """Answers queries from users' lists alone."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._batchers = ArmBatchers(lambda: RequestBatcher(self._read, self._finish, MOST_USERS, 1))
        self._waiting = 0

    @property
    def full(self) -> bool:
        """Whether no further request may wait."""
        return self._waiting >= MOST

    @property
    def preferred(self) -> bool:
        """Whether lists answer first."""
        return self._waiting >= PREFERRED

    async def answer(self, query: Query) -> bool:
        """Make the slate of a query from the user's list; False if there is no list, or if too many requests wait."""
        if self.full:
            return False
        query.mode = Mode.BATCH
        self._waiting += 1
        try:
            await self._batchers.submit([query], query.due - RESERVE)
        finally:
            self._waiting -= 1
        return query.finished

    async def _read(self, queries: Sequence[Query]) -> None:
        """Read the lists. A late read in an overloaded process must not open the circuit breaker of the store."""
        await self._pipeline.hydrate(queries, trial=True)

    def _finish(self, query: Query) -> None:
        """Complete a query whose user has a list that passes the request's filter; leave the others unfinished."""
        if query.stages_passed and query.made_by == Mode.BATCH and len(listed(query)[0]):
            query.leave_out(Degraded.OVERLOAD)
            self._pipeline.finish(query)
