"""The batchers of a gateway process: one for the queries of the live generation, and one for each generation of an arm.

So a batch has queries of one generation, and the arm of an experiment that is slow delays its own queries alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from recsys.slates.query import Query
from service.recommend.batcher import RequestBatcher

HELD = 8
"""Batchers that are kept: one for `live`, and twice those of the generations that arms may have."""


class ArmBatchers:
    """Runs queries in batches of one generation."""

    def __init__(self, make: Callable[[], RequestBatcher[Query]]) -> None:
        """make: makes a batcher."""
        self._make = make
        self._batchers: dict[str, RequestBatcher[Query]] = {}

    async def submit(self, queries: Sequence[Query], deadline: float) -> None:
        """Return when every query of a request is finished; deadline: monotonic seconds, the same for all."""
        alike: dict[str, list[Query]] = {}
        for query in queries:
            alike.setdefault(query.assigned.generation or "", []).append(query)
        if len(alike) == 1:
            await self._of(*alike).submit(queries, deadline)
        else:
            await asyncio.gather(*(self._of(arm).submit(some, deadline) for arm, some in alike.items()))

    def _of(self, arm: str) -> RequestBatcher[Query]:
        """The batcher of the queries of a generation of an arm, or of the live one ("")."""
        if arm not in self._batchers:
            if len(self._batchers) >= HELD:  # a batch in flight of the dropped batcher ends as it would have
                self._batchers.pop(next(each for each in self._batchers if each))
            self._batchers[arm] = self._make()
        return self._batchers[arm]
