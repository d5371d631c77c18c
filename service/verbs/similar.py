"""Items most like one: asked of retrieval, then filtered and topped up like any slate."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from recsys.errors import StageError
from recsys.matching import packed
from recsys.types import PAD
from service.backends import wire
from service.backends.backends import Call
from service.recommend.fallbacks import take_popular
from service.recommend.pipeline import RESERVE, count_answer
from service.recommend.query import Degraded, Query
from service.recommend.slate import make_slate
from service.recommend.stages import answered
from service.telemetry.outage import Outage
from service.telemetry.throttled_logger import ThrottledLogger

UNAVAILABLE = ThrottledLogger("Similar items are not available: %s")


class SimilarItems:
    """Finds them."""

    def __init__(self, call: Call, retrieval: Outage | None = None) -> None:
        """retrieval: where this process reports how retrieval is."""
        self._call = call
        self._retrieval = retrieval or Outage("retrieval", "Popular items stand for similar ones.")

    async def find(self, query: Query, row: int) -> None:
        """Set the slate of a query to the items most like the one at `row`; what is popular where that can't be had."""
        try:
            async with asyncio.timeout(query.due - RESERVE - time.monotonic()):
                await self._ask(query, row)
        except Exception as error:
            self._retrieval.without()
            if not self._retrieval.away:
                UNAVAILABLE.warn(str(error) or type(error).__name__)
            query.leave_out(Degraded.RETRIEVAL)
            take_popular(query)
        query.keep(query.items != row)
        make_slate(query, without=row)
        count_answer(query)

    async def _ask(self, query: Query, row: int) -> None:
        asked = np.zeros(1, wire.SIMILAR)
        asked["generation"], asked["item"] = query.generation.id.encode("ascii"), row
        asked["filter"] = packed(query.matches)
        asked["due"] = query.due + time.time() - time.monotonic()
        (found,) = await answered(self._call, asked, wire.SIMILAR_FOUND)
        if found["failed"]:
            raise StageError("retrieval failed")
        real = found["items"] != PAD
        query.set_candidates(found["items"][real], found["tower"][real], found["sources"][real])
        query.scores = found["scores"][real]
