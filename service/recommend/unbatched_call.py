"""An unbatched call of the store, retrieval or ranking for one query: of /similar, of /explain, or of the Explorer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np

from recsys.slates.query import Degraded, Query
from service.backends.calls import Call
from service.recommend.guard import RESERVE
from service.recommend.pipeline import Pipeline
from service.recommend.records import answered
from service.telemetry import metrics

T = TypeVar("T")


async def call_backend(
    pipeline: Pipeline,
    stage: Degraded,
    query: Query,
    call: Call,
    request: np.ndarray,
    dtype: np.dtype,
    share: float = 1.0,
) -> Any | None:
    """The backend's records of `dtype` for the rows of a request, under the rules of `call_stage`.

    None also if the backend marked the row as failed: it was late, does not hold the generation, or has not received
    the item yet. That opens no circuit breaker, because a client that asks for new items could open it for all.
    """
    found = await call_stage(pipeline, stage, query, lambda: answered(call, request, dtype), share)
    if found is None:
        return None
    if found["failed"].any():
        metrics.stage_failed(stage, "error")(1)
        pipeline.guards[stage].outage.without()
        query.leave_out(stage)
        return None
    return found


async def call_stage(
    pipeline: Pipeline, stage: Degraded, query: Query, run: Callable[[], Awaitable[T]], share: float
) -> T | None:
    """The result of `run`. share: of the time left that the call may take.

    None if the stage is away or fails, or if the query is due: the query is then degraded by `stage`. A stage that is
    away is not called: the gateway's own queries find its return (`GenerationSwitcher`).
    """
    guard = pipeline.guards[stage]
    breaker, found = guard.breaker_of(query.assigned.generation), None
    if breaker.closed:
        seconds = share * (query.due - RESERVE - time.monotonic())
        found = await guard.call(run, seconds, breaker, query.is_traffic)
    if found is None:
        guard.outage.without()
        query.leave_out(stage)
    return found
