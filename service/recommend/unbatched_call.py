"""An unbatched call of retrieval or ranking for one query: of /similar, of /explain, or of the Explorer."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np

from recsys.errors import StageError
from recsys.generation.shard import shard_name
from recsys.slates.query import Degraded, Query
from service.backends import wire
from service.backends.calls import Call
from service.recommend.pipeline import RESERVE, Pipeline
from service.recommend.records import answered
from service.telemetry import metrics
from service.telemetry.throttled_logger import ThrottledLogger

FAILED = ThrottledLogger("An answer is made without %s: %s")


async def call_backend(
    pipeline: Pipeline,
    stage: Degraded,
    query: Query,
    call: Call,
    request: np.ndarray,
    dtype: np.dtype,
    share: float = 1.0,
) -> Any | None:
    """The backend's records of `dtype` for the rows of a request. share: of the time left that the call may take.

    None if the backend fails or the query is due: the query is then degraded by `stage`.
    """
    try:
        async with asyncio.timeout(share * (query.due - RESERVE - time.monotonic())):
            found = await answered(call, request, dtype)
        if found["failed"].any():
            raise StageError(f"{stage} failed")
    except Exception as error:
        count_failure(pipeline, stage, query, error)
        return None
    if "missing" in (dtype.names or ()):
        for shard in wire.missing_shards(int(found["missing"][0])):
            query.leave_out(shard_name(shard))
    return found


def count_failure(pipeline: Pipeline, stage: Degraded, query: Query, error: Exception) -> None:
    """Mark a query as made without a stage, whose error is logged unless the stage is known to be away."""
    metrics.stage_failed(stage, "timeout" if isinstance(error, TimeoutError) else "error")(1)
    outage = pipeline.outages[stage]
    outage.without()
    if not outage.away:
        FAILED.warn(stage, str(error) or type(error).__name__)
    query.leave_out(stage)
