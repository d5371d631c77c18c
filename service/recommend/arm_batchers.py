"""The batchers of a gateway process: one for each generation that answers, and for each class of deadlines.

So a batch has queries of one generation and of deadlines that are alike. The arm of an experiment that is slow delays
its own queries alone, and a stage that hangs takes no more than its share of each query's time.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence

from recsys.slates.query import Query
from service.recommend.batcher import RequestBatcher

HELD = 32
"""Batchers that are kept: four generations of arms and `live`, with some classes each."""

CLASSES_PER_DOUBLING = 2
"""Classes of deadlines: on arrival the latest of a class has at most 1.41 times the time left of the earliest. A stage
may take .6 of the latest, which is then .85 of the earliest. Class borders lie between round numbers of milliseconds,
such as 304 and 430."""

LEAST_CLASS_SECONDS = 0.064
"""Shorter deadlines are of the same class."""


class ArmBatchers:
    """Runs queries in batches of one generation and one class of deadlines."""

    def __init__(self, make: Callable[[], RequestBatcher[Query]]) -> None:
        """make: makes a batcher."""
        self._make = make
        self._batchers: dict[tuple[str, int], RequestBatcher[Query]] = {}

    async def submit(self, queries: Sequence[Query], deadline: float) -> None:
        """Return when every query of a request is finished; deadline: monotonic seconds, the same for all."""
        alike: dict[str, list[Query]] = {}
        for query in queries:
            alike.setdefault(query.assigned.generation or "", []).append(query)
        of_deadline = deadline_class(deadline - time.monotonic())
        submits = [self._of(arm, of_deadline).submit(some, deadline) for arm, some in alike.items()]
        await (submits[0] if len(submits) == 1 else asyncio.gather(*submits))

    def _of(self, arm: str, of_deadline: int) -> RequestBatcher[Query]:
        """The batcher of a class of deadlines, for the generation of an arm or the live one ("")."""
        key = arm, of_deadline
        batcher = self._batchers.pop(key, None)
        if batcher is None:
            if len(self._batchers) >= HELD:  # a batch in flight of the dropped batcher ends as it would have
                self._batchers.pop(next(iter(self._batchers)))
            batcher = self._make()
        self._batchers[key] = batcher  # the newest place: the one that was used least recently is dropped
        return batcher


def deadline_class(seconds: float) -> int:
    """The class of a request that has so many seconds left."""
    return round(CLASSES_PER_DOUBLING * math.log2(max(seconds, LEAST_CLASS_SECONDS) * 1000))
