"""The metrics of flows (jobs such as `train`) from the records in the store: last success, duration, rows, quality,
the lifts that reports of experiments measured, and the drift of served slates.

Flows run in processes that nothing scrapes, and end. So each gateway exports what their runs left in the store.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial

from recsys.store.redis.run_store import RedisRunStore
from recsys.store.run_record import COMPLETED, RunRecord, summary
from service.telemetry import metrics
from service.telemetry.periodic import repeat

BOUNDS = ("value", "low", "high")

READ_SECONDS = 15.0
"""Time between two reads: the usual scrape interval of Prometheus."""


async def follow(runs: RedisRunStore) -> None:
    """Read the records, without an end. Without the store the metrics keep their last values."""
    await repeat("flow-runs", partial(_read, runs), READ_SECONDS)


async def _read(runs: RedisRunStore) -> None:
    export(await asyncio.to_thread(runs.read), time.time())


def export(records: Mapping[str, Sequence[RunRecord]], now: float) -> None:
    """Set the metrics. records: of each flow, newest first. now: unix seconds."""
    for flow, of_flow in records.items():
        found = summary(of_flow, now)
        if found.last_success is not None:
            metrics.flow_success.labels(flow).set(found.last_success)
        for run, figures in (("last", found.last), ("median", found.median)):
            _set(flow, run, figures)
    export_lifts(records.get("experiment-reports", ()))
    export_drift(records.get("drift", ()))


def export_lifts(records: Sequence[RunRecord]) -> None:
    """Set the lifts of arms by the newest completed report. records: of `experiment-reports`, newest first.

    Arms of earlier reports become NaN: a series of several processes can't be removed.
    """
    reports = [each.figures.lifts for each in records if each.state == COMPLETED]
    for name in {name for lifts in reports for name in lifts}:
        experiment, _, arm = name.partition("/")
        for bound, value in zip(BOUNDS, reports[0].get(name, (math.nan,) * len(BOUNDS)), strict=True):
            metrics.experiment_lift.labels(experiment, arm, bound).set(value)


def export_drift(records: Sequence[RunRecord]) -> None:
    """Set drift and skew by the newest completed run. records: of `drift`, newest first.

    Columns that this run did not compare become NaN.
    """
    runs = [each.figures for each in records if each.state == COMPLETED]
    for name in {name for figures in runs for name in figures.drift}:
        against, _, column = name.partition("/")
        psi, _, alarm = runs[0].drift.get(name, (math.nan, math.nan, math.nan))
        metrics.drift_psi.labels(against, column).set(psi)
        metrics.drift_alarm.labels(against, column).set(alarm)
    for column in {column for figures in runs for column in figures.skew}:
        metrics.skew_share.labels(column).set(runs[0].skew.get(column, math.nan))


def _set(flow: str, run: str, figures: Mapping[str, float]) -> None:
    for name, value in figures.items():
        if name == "seconds":
            metrics.flow_seconds.labels(flow, run).set(value)
        elif name == "quality":
            metrics.flow_quality.labels(flow, run).set(value)
        else:
            metrics.flow_rows.labels(flow, name.removeprefix("rows_"), run).set(value)
