"""The serving dashboard: times by verb, mode, surface and stage, lost stages, what slates are made of, batches, load,
workers and keys.
"""

from __future__ import annotations

from loadtests.monitoring.panels import Panel, Query, Rows, lines, mean, or_zero, quantile, rate
from loadtests.slo import Promises

REQUEST, SLATE = "tandem_request_seconds", "tandem_slate_seconds"


def rows(promises: Promises) -> Rows:
    """The rows of panels."""
    return {
        "Times": _times(promises.recommend.p99_ms / 1000),
        "Stages": _stages(),
        "Slates": _slates(),
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
        lines(
            "Failed calls of a stage",
            "reqps",
            Query(rate("tandem_stage_failures_total", "stage, reason"), "{{stage}} {{reason}}"),
        ),
        lines("Candidates removed", "cps", Query(or_zero(rate("tandem_removed_total", "reason")), "{{reason}}")),
    ]


def _slates() -> list[Panel]:
    score = "tandem_top_score"
    return [
        lines(
            "Score of the first item",
            "none",
            *(Query(quantile(share, score, "alias"), f"{{{{alias}}}} p{100 * share:g}") for share in (0.1, 0.5, 0.9)),
            about="The ranker's score, of slates that it ordered, by whose generation answers.",
        ),
        lines("Items of a slate", "none", Query(mean("tandem_slate_length", "surface"), "{{surface}}")),
        lines(
            "Share of the items by source",
            "percentunit",
            Query(
                f"{rate('tandem_slate_items_total', 'source')} / scalar({rate('tandem_slate_length_sum')})",
                "{{source}}",
            ),
            about="Several sources may propose an item.",
        ),
        lines(
            "Lists of users",
            "percentunit",
            Query(f"{rate('tandem_lists_total', 'outcome')} / scalar({rate('tandem_lists_total')})", "{{outcome}}"),
            about="`stale`: older than list_fresh, or events came since. `other_arm`: there is none of the user's arm.",
        ),
        *_users_and_cpu(),
    ]


def _users_and_cpu() -> list[Panel]:
    reads = "tandem_user_reads_total"
    held = [
        Query(f"{rate(reads, labels=labels)} / {rate(reads)}", labels.partition("=")[0])
        for labels in ('record="yes"', 'events="yes"', 'list="yes"')
    ]
    return [
        lines("Users of whom the store holds", "percentunit", *held),
        lines(
            "CPU of 1,000 slates",
            "s",
            Query(
                f"1000 * {rate('tandem_cpu_seconds_total', 'service')} / scalar({rate(f'{SLATE}_count')})",
                "{{service}}",
            ),
            about="CPU of all processes of a service. Slates of the mode batch need no retrieval and no ranking, so it "
            "depends on the share of modes.",
        ),
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
