"""The dashboard of generations and freshness: the age of what is served, items put, events and impressions."""

from __future__ import annotations

from loadtests.monitoring.panels import Panel, Query, Rows, lines, or_zero, quantile, rate
from loadtests.monitoring.service_alerts import PromisedAge, promised_ages
from loadtests.slo import OLD_SHARE, Promises

AGE = "tandem_freshness_seconds"


def older(age: PromisedAge) -> str:
    """The share of the answers made from a part that was older than promised, by surface and part."""
    labels, by = f'part="{age.part}"{age.surfaces}', "surface, part"
    within = rate(f"{AGE}_bucket", by, f'{labels},le="{age.bound}"')
    return f"1 - {within} / {rate(f'{AGE}_count', by, labels)}"


def rows(promises: Promises) -> Rows:
    """The rows of panels."""
    shares = [Query(older(age), "{{surface}} {{part}}") for age in promised_ages(promises)]
    return {
        "What answers are made from": [
            lines(
                "Share older than promised",
                "percentunit",
                *shares,
                about="Of the answers that are made from a model, a list or trending items, by surface.",
                limit=OLD_SHARE,
            ),
            lines("Median age", "s", Query(quantile(0.5, AGE, "part"), "{{part}}")),
            lines("p99 of the age", "s", Query(quantile(0.99, AGE, "part"), "{{part}}")),
        ],
        "Generations": _generations(),
        "Items put": [
            lines(
                "Items that the generation does not have",
                "none",
                Query("max(tandem_fresh_items)", "put"),
                Query("max(tandem_hidden_items)", "hidden"),
                about="A training takes them into the next generation.",
            ),
            lines("Items put", "cps", Query(or_zero(rate("tandem_items_put_total", "kind")), "{{kind}}")),
        ],
        "Events and impressions": _events_and_impressions(),
    }


def _generations() -> list[Panel]:
    return [
        lines(
            "Age of the live generation",
            "s",
            Query("time() - max by (instance) (tandem_live_generation_timestamp_seconds)", "{{instance}}"),
            about="Falls when a new generation goes live. Gateways that stay apart hold different generations.",
        ),
        lines(
            "Generations refused, in an hour",
            "none",
            Query("sum by (role) (increase(tandem_generation_refused_total[1h]))", "{{role}}"),
            about="/status has the reason.",
        ),
    ]


def _events_and_impressions() -> list[Panel]:
    return [
        lines(
            "Requests with events",
            "reqps",
            Query(rate("tandem_request_seconds_count", labels='verb="events"'), "events"),
        ),
        lines(
            "Slates logged",
            "reqps",
            Query(or_zero(rate("tandem_impressions_total", "outcome")), "{{outcome}}"),
            about="`changed`: the features were different when they were computed again.",
        ),
        lines(
            "Entries lost",
            "none",
            Query("max by (stream) (tandem_lost_entries)", "{{stream}}"),
            about="Since the store was made. Redis dropped them before a flow read them.",
        ),
    ]
