"""Measures the CPU time of all calls of metrics that one request to /recommend makes, in a process of several.

`python -m loadtests.bench.metric_calls` calls them for a slate of ten items whose user takes part in an experiment and
has a key. The limit is 60 us a request; the exit code is 1 above it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, cast

REQUESTS, LIMIT_US = 100_000, 60.0


def one_request() -> Callable[[], None]:
    """The calls of one request, as the service makes them."""
    import numpy as np

    from recsys.experiments.assigned_arms import AssignedArms
    from recsys.lists.user_list import UserList
    from recsys.slates.freshness import Freshness
    from recsys.slates.query import Query
    from recsys.types import Mode, Source
    from service.recommend.pipeline import count_answer
    from service.telemetry import metrics, slate_metrics

    query = Query(cast(Any, None), "user", 10, 0.0, assigned=AssignedArms({"variety": "varied"}))
    rows, flags = np.arange(10, dtype=np.int32), np.full(10, Source.PRECOMPUTED | Source.TOWER, np.uint16)
    flags[:3] |= np.uint16(Source.TRENDING | Source.EASE)
    query.set_candidates(rows, np.linspace(5, 2, 10, dtype=np.float32), flags)
    query.listed = UserList(query.now, 0, rows, flags, query.scores)
    query.removed, query.made_by = {"seen": 3, "unavailable": 1}, Mode.HYBRID
    query.freshness = Freshness(model=40_000.0, list=20_000.0, trending=90.0, event=12.0)
    stages = [metrics.stage_seconds.labels(name).observe for name in ("hydrate", "retrieve", "rank")]

    def call() -> None:
        metrics.key_requests_total.labels("shop", "0123456789ab").inc()
        metrics.batch_queries.observe(1)
        for observe in stages:
            observe(0.004)
        metrics.user_read(True, True, True)(1)
        count_answer(query)
        for name, arm in query.assigned.arms.items():
            metrics.arm_slates(name, arm, "ok")(1)
            metrics.arm_timed(name, arm)(0.02)
        metrics.slate_timed(query.surface, query.made_by)(0.02)
        slate_metrics.count_ages(query)
        slate_metrics.count_slate(query)
        metrics.impressions_total.labels("logged").inc()
        metrics.timed("recommend", 200)(0.02)

    return call


def microseconds(call: Callable[[], None], requests: int) -> float:
    """The mean CPU time of a call: other processes of the machine do not count."""
    call()  # makes the series
    start = time.thread_time()
    for _ in range(requests):
        call()
    return 1e6 * (time.thread_time() - start) / requests


def main() -> int:
    """Print the time of the calls; 1 if it is above the limit."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # before the import of prometheus_client
        found = microseconds(one_request(), REQUESTS)
    print(
        f"All calls of metrics of one request: {found:.1f} us, of {REQUESTS:,} requests; the limit is {LIMIT_US:g} us."
    )
    return int(found > LIMIT_US)


if __name__ == "__main__":
    sys.exit(main())
