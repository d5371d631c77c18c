"""The serving dashboard: times by verb, mode, surface and stage, lost stages, batches, load, workers and keys."""

from __future__ import annotations

from loadtests.monitoring.panels import Panel, Query, Rows, lines, mean, or_zero, quantile, rate
from loadtests.slo import Promises

REQUEST, SLATE = "tandem_request_seconds", "tandem_slate_seconds"


def rows(promises: Promises) -> Rows:
    """The rows of panels."""
    return {
        "Times": _times(promises.recommend.p99_ms / 1000),
        "Stages": _stages(),
        "Load": [
            lines("Queries in a batch", "none", Query(mean("tandem_batch_queries"), "mean")),
            lines("Rows computed at once", "none", Query(mean("tandem_rows_together", "api"), "{{api}}")),
            lines(
                "Limit of slates in flight",
                "none",
                Query("sum by (instance) (tandem_slates_limit)", "{{instance}}"),
                about="Further requests get 429, or the user's list.",
            ),
        ],
        "Workers and keys": _workers_and_keys(),
    }


def _times(limit: float) -> list[Panel]:
    return [
        lines("p99 by verb", "s", Query(quantile(0.99, REQUEST, "verb"), "{{verb}}"), limit=limit),
        lines("p99 by mode", "s", Query(quantile(0.99, SLATE, "mode"), "{{mode}}"), limit=limit),
        lines("p99 by surface", "s", Query(quantile(0.99, SLATE, "surface"), "{{surface}}"), limit=limit),
        lines("p99 by stage", "s", Query(quantile(0.99, "tandem_stage_seconds", "stage"), "{{stage}}")),
        lines("Slates by mode", "reqps", Query(rate(f"{SLATE}_count", "mode"), "{{mode}}")),
        lines("Answers by code", "reqps", Query(rate(f"{REQUEST}_count", "code"), "{{code}}")),
    ]


def _stages() -> list[Panel]:
    return [
        lines(
            "Slates without a stage",
            "reqps",
            Query(or_zero(rate("tandem_degraded_total", "stage")), "{{stage}}"),
            about="`overload` is no stage: too many requests were in flight, and the user's list answered.",
        ),
        lines(
            "Gateway processes that answer without a stage",
            "none",
            Query("sum by (stage) (tandem_stage_away)", "{{stage}}"),
        ),
        lines("Candidates removed", "cps", Query(or_zero(rate("tandem_removed_total", "reason")), "{{reason}}")),
    ]


def _workers_and_keys() -> list[Panel]:
    return [
        lines(
            "Workers",
            "none",
            Query('sum by (service) (tandem_workers{state="alive"})', "{{service}}"),
            Query('sum by (service) (tandem_workers{state="wanted"})', "{{service}} wanted"),
        ),
        lines(
            "Workers that died, in an hour",
            "none",
            Query("sum by (service) (increase(tandem_worker_deaths_total[1h]))", "{{service}}"),
        ),
        lines(
            "Requests by key",
            "reqps",
            Query(or_zero(rate("tandem_key_requests_total", "key")), "{{key}}"),
            Query(or_zero(rate("tandem_key_refused_total", "code")), "refused {{code}}"),
        ),
    ]
