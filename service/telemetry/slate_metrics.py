"""The Prometheus metrics of finished slates (ordered lists of recommended items): ages, scores, length and sources of
the items, and the state of the user's list.

Every label is bounded: surfaces and arms are those of the operator's files, and the others have a few values. `alias`
is `live`, or `experiment/arm` where the generation of an arm answers.
"""

from __future__ import annotations

from collections import Counter as Counts
from functools import cache

from prometheus_client import Counter, Histogram

from recsys.retrieval.registry import names_of
from recsys.slates.query import Degraded, Query
from service.telemetry.metrics import Count

_HOUR, _DAY = 3_600, 86_400

AGE_BUCKETS = (
    *(1, 10, 60, 120, 300, 600, 900, 1_800, _HOUR, 2 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 1.5 * _DAY, 2 * _DAY, 4 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY),
)
"""Seconds. An alert can count slates older than these ages alone; a test checks the ages that slo.toml promises."""

SCORE_BUCKETS = (-4, -2, 0, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 8, 12)
"""Scores of the ranker. Those of the first items of 500 users of the sample are 2.4 to 6.8."""

LENGTH_BUCKETS = (0, 1, 2, 5, 10, 20, 50, 100)

freshness_seconds = Histogram(
    "tandem_freshness_seconds",
    "Age of what a slate was made from: the model, the list, the trending items, the newest event",
    ["surface", "part"],
    buckets=AGE_BUCKETS,
)
top_score = Histogram(
    "tandem_top_score",
    "The ranker's score of the first item of a slate",
    ["surface", "alias"],
    buckets=SCORE_BUCKETS,
)
slate_length = Histogram("tandem_slate_length", "Items of a slate", ["surface", "alias"], buckets=LENGTH_BUCKETS)
slate_items_total = Counter(
    "tandem_slate_items_total", "Items shown, by each source that proposed the item", ["source", "surface", "alias"]
)
lists_total = Counter(
    "tandem_lists_total",
    "Slates of users by the state of the user's list: fresh, stale, missing, or other_arm (none of the user's arm)",
    ["outcome", "surface"],
)


def count_ages(query: Query) -> None:
    """Count the ages of what a slate was made from."""
    if query.freshness is not None:
        for part, age in query.freshness.ages.items():
            _aged(query.surface, part)(age)


def count_slate(query: Query) -> None:
    """Count a slate of /recommend. One of an arm that a person forced is not counted."""
    if query.assigned.forced:
        return
    scores, surface, alias = query.scores, query.surface, query.assigned.alias
    _length(surface, alias)(len(query.items))
    if query.is_ranked and len(scores) and scores[0] == scores[0]:  # NaN: a rule brought the item
        _top_score(surface, alias)(float(scores[0]))
    for source, count in Counts(name for flags in query.sources.tolist() for name in names_of(flags)).items():
        _items_of(source, surface, alias)(count)
    if outcome := list_outcome(query):
        _lists(outcome, surface)(1)


def list_outcome(query: Query) -> str | None:
    """The state of the user's list; None without a user or without the store.

    A list is fresh if it may be shown as it is: it is younger than `list_fresh`, and no event came after it.
    """
    if query.user_id is None or Degraded.STORE in query.degraded:
        return None
    listed = query.listed
    if listed is None or not len(listed.items):
        return "other_arm" if query.assigned.generation or query.assigned.list_variant else "missing"
    times = query.past[1]
    has_later = len(times) > 0 and times[-1] > listed.made_at
    return "stale" if has_later or query.now - listed.made_at > query.list_fresh else "fresh"


@cache
def _aged(surface: str, part: str) -> Count:
    return freshness_seconds.labels(surface, part).observe


@cache
def _top_score(surface: str, alias: str) -> Count:
    return top_score.labels(surface, alias).observe


@cache
def _length(surface: str, alias: str) -> Count:
    return slate_length.labels(surface, alias).observe


@cache
def _items_of(source: str, surface: str, alias: str) -> Count:
    return slate_items_total.labels(source, surface, alias).inc


@cache
def _lists(outcome: str, surface: str) -> Count:
    return lists_total.labels(outcome, surface).inc
