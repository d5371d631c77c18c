"""The Prometheus metrics of the server, and their text for GET /metrics over all processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from recsys.fresh_items.catalogue_changes import CatalogueChanges

Count = Callable[[float], object]
"""A counter's `inc`, or a histogram's `observe`."""

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0, 2.0)
"""Seconds. The p99 promises of slo.toml are among these, so that the requests above them are counted exactly."""

stage_seconds = Histogram(
    "tandem_stage_seconds",
    "Time of a call of a stage, for a batch of queries or one query of /similar and /explain",
    ["stage"],
    buckets=BUCKETS,
)
request_seconds = Histogram("tandem_request_seconds", "Time of a request", ["verb", "code"], buckets=BUCKETS)
batch_queries = Histogram("tandem_batch_queries", "Queries merged into one call", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
rows_together = Histogram(
    "tandem_rows_together", "Queries that a service computed at once", ["api"], buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
slates_limit = Gauge(
    "tandem_slates_limit", "Slates in flight, at most; further requests get 429", multiprocess_mode="livesum"
)
slate_seconds = Histogram(  # of both doors
    "tandem_slate_seconds",
    "Time of a slate, by the surface that shows it and the mode that made it, or the verb beside /recommend",
    ["surface", "mode"],
    buckets=BUCKETS,
)
arm_seconds = Histogram(  # names of the experiments document, which bounds their number
    "tandem_arm_seconds", "Time of a slate, by the user's arm in an experiment", ["experiment", "arm"], buckets=BUCKETS
)
arm_slates_total = Counter(
    "tandem_arm_slates_total",
    "Slates by the user's arm in an experiment: ok, degraded, empty, error, or fell_back to the control",
    ["experiment", "arm", "outcome"],
)
degraded_total = Counter("tandem_degraded_total", "Answers made without a stage", ["stage", "surface"])
stage_away = Gauge(
    "tandem_stage_away",
    "Gateway processes that answer without a stage now",
    ["stage"],
    multiprocess_mode="livesum",
)
stage_failures_total = Counter(
    "tandem_stage_failures_total", "Calls of a stage that failed: timeout or error", ["stage", "reason"]
)
user_reads_total = Counter(
    "tandem_user_reads_total",
    "Users that were read from the store, by what it holds: a record of the generation, events, a list; yes or no",
    ["record", "events", "list"],
)
cpu_seconds_total = Counter("tandem_cpu_seconds_total", "CPU time of the processes of a service", ["service"])
removed_total = Counter("tandem_removed_total", "Candidates that a filter removed", ["reason"])
workers = Gauge(  # dead processes do not write, so the newest value is of a running process
    "tandem_workers",
    "Workers of a service that it should have, and that run",
    ["service", "state"],
    multiprocess_mode="mostrecent",
)
follower_failures_total = Counter(
    "tandem_follower_failures_total",
    "Failures of a follower: a task or thread that keeps a process up to date, and starts again after a failure",
    ["follower"],
)
worker_deaths_total = Counter("tandem_worker_deaths_total", "Workers that ended without an orderly stop", ["service"])
refused_total = Counter("tandem_generation_refused_total", "Generations that a process refused to serve", ["role"])
live_generation = Gauge(
    "tandem_live_generation_timestamp_seconds",
    "When the served generation was made, unix seconds",
    multiprocess_mode="livemax",  # one that was killed may have served a later generation
)
impressions_total = Counter(
    "tandem_impressions_total",
    "Slates to log with their features: logged, over_rate, lost, or changed when computed again",
    ["outcome"],
)
lost_entries = Gauge(  # the store counts for all gateways, so the highest value is the newest
    "tandem_lost_entries",
    "Impressions that left the store before flows drain read them, and events that trending misses, by stream",
    ["stream"],
    multiprocess_mode="livemax",
)
flow_success = Gauge(  # the store has the runs of all hosts, so the newest value is right for each gateway
    "tandem_flow_last_success_timestamp_seconds",
    "When the last completed run of a flow ended, unix seconds",
    ["flow"],
    multiprocess_mode="mostrecent",
)
flow_seconds = Gauge(
    "tandem_flow_duration_seconds",
    "Time of the last run of a flow, also while it runs, and the median of the completed runs before",
    ["flow", "run"],
    multiprocess_mode="mostrecent",
)
flow_rows = Gauge(
    "tandem_flow_rows",
    "Rows that the last completed run of a flow read and made, and the medians of the runs before",
    ["flow", "direction", "run"],
    multiprocess_mode="mostrecent",
)
flow_quality = Gauge(
    "tandem_flow_quality",
    "Recall@10 of the served model by the last completed training, and the median of the trainings before",
    ["flow", "run"],
    multiprocess_mode="mostrecent",
)
experiment_lift = Gauge(  # names of the experiments document, which bounds their number
    "tandem_experiment_lift",
    "Relative lift of an arm over the control by the last report: value, low and high; NaN without enough users",
    ["experiment", "arm", "bound"],
    multiprocess_mode="mostrecent",
)
drift_psi = Gauge(  # columns of the flow's code, which bounds their number
    "tandem_drift_psi",
    "Population stability index of a column of served slates against the training profile or the week before",
    ["against", "column"],
    multiprocess_mode="mostrecent",
)
drift_alarm = Gauge(
    "tandem_drift_alarm",
    "1 where a column of served slates differs from the training profile or the week before",
    ["against", "column"],
    multiprocess_mode="mostrecent",
)
skew_share = Gauge(
    "tandem_skew_share",
    "Share of logged values of a feature that differ from the value recomputed from the store",
    ["column"],
    multiprocess_mode="mostrecent",
)
items_put_total = Counter("tandem_items_put_total", "Items put: new to the served generation, or known", ["kind"])
key_requests_total = Counter("tandem_key_requests_total", "Requests that a key allowed", ["key", "id"])
key_refused_total = Counter(
    "tandem_key_refused_total",
    "Requests refused because of the key, its scopes, its users or its rate",
    ["code", "key"],
)
keys_wrong = Gauge(  # set every second, so the most recent value is of a running process
    "tandem_keys_wrong",
    "1 while the file of keys is invalid and the earlier keys are used",
    multiprocess_mode="mostrecent",
)
fresh_items = Gauge(
    "tandem_fresh_items", "Items put that the served generation does not have", multiprocess_mode="livemax"
)
hidden_items = Gauge("tandem_hidden_items", "Items hidden by a put", multiprocess_mode="livemax")


def count_segment(segment: CatalogueChanges | None) -> None:
    """Set the gauges of the items added or changed through PUT /items."""
    fresh_items.set(len(segment.items) if segment else 0)
    hidden_items.set(segment.hidden_count if segment else 0)


@cache
def timed(verb: str, code: int | str) -> Count:
    """Observe the seconds of a request. Cached, because a lookup of labels takes a lock."""
    return request_seconds.labels(verb, code).observe


@cache
def slate_timed(surface: str, mode: str) -> Count:
    """Observe the seconds of a slate; mode: or rank, similar, explain."""
    return slate_seconds.labels(surface, mode).observe


@cache
def arm_timed(experiment: str, arm: str) -> Count:
    """Observe the seconds of a slate of an arm."""
    return arm_seconds.labels(experiment, arm).observe


@cache
def arm_slates(experiment: str, arm: str, outcome: str) -> Count:
    """Count slates of an arm."""
    return arm_slates_total.labels(experiment, arm, outcome).inc


@cache
def left_out(stage: str, surface: str) -> Count:
    """Count answers made without a stage."""
    return degraded_total.labels(stage, surface).inc


@cache
def stage_failed(stage: str, reason: str) -> Count:
    """Count calls of a stage that failed; reason: timeout or error."""
    return stage_failures_total.labels(stage, reason).inc


@cache
def user_read(record: bool, events: bool, listed: bool) -> Count:
    """Count reads of users by what the store holds."""
    return user_reads_total.labels(*("yes" if held else "no" for held in (record, events, listed))).inc


@cache
def removed(reason: str) -> Count:
    """Count candidates that a filter removed."""
    return removed_total.labels(reason).inc


def exposition() -> bytes:
    """The metrics of all processes as Prometheus's text, from the folder PROMETHEUS_MULTIPROC_DIR, set by BentoML."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus-client has no hint for it
    return generate_latest(registry)
