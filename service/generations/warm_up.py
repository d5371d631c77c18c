"""The warm-up of a generation (trained models and tables): test queries run before the gateway answers from it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from recsys.slates.query import Degraded, Query
from recsys.slates.served_generation import ServedGeneration
from recsys.types import Event
from service.recommend.pipeline import Pipeline

FIRST_BATCHES = (1, 2, 4, 8, 16, 32) * 2
"""Sizes of the batches in a gateway that starts: each size runs cold once."""

NEXT_BATCHES = (1, 2, 4) * 2
"""Sizes of the batches beside the requests that are answered."""

BATCH_SECONDS = 10.0
"""The deadline of a batch. It is long: the batch shows that the stages answer, not that they are fast."""


async def left_out(
    pipeline: Pipeline, served: ServedGeneration, size: int, seconds: float = BATCH_SECONDS, trial: bool = False
) -> set[str]:
    """Run a batch of queries; return the stages (retrieval, ranking) that at least one query lacked.

    trial: whether requests are answered from another generation meanwhile (`Pipeline.enrich`).
    """
    queries = _queries(served, size, time.monotonic() + seconds)
    await pipeline.run(queries, trial)
    return {str(stage) for query in queries for stage in query.degraded if stage != Degraded.STORE}


def _queries(served: ServedGeneration, count: int, due: float) -> Sequence[Query]:
    """Queries of users who viewed popular items. They exclude the least popular item, so that each filter runs."""
    popular = served.popular
    starts = [place % max(len(popular), 1) for place in range(count)]
    last = [served.item_id(int(row)) for row in popular[-1:]]
    viewed = [[served.item_id(int(row)) for row in popular[start:][:8]] for start in starts]
    sessions = [[Event("", item, float(step)) for step, item in enumerate(items)] for items in viewed]
    return [Query(served, "", 10, due, session, last, is_traffic=False) for session in sessions]
