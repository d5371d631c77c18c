"""The counters of requests at one moment, summed over the processes of this host, for the page /operations.

They are read from the files in which prometheus-client keeps the metrics of each process (PROMETHEUS_MULTIPROC_DIR).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.multiprocess import MultiProcessCollector

VERBS = ("recommend", "similar", "explain", "rank", "events")
"""The verbs with a promise in slo.toml."""

FILES = ("histogram_*.db", "counter_*.db", "gauge_livesum_*.db")
"""The files that hold the metrics of `_counted`."""

OK, REFUSED = ("200", "OK"), ("429", "RESOURCE_EXHAUSTED")
FAILED = ("INTERNAL", "UNAVAILABLE")
"""Codes of failures besides 5xx, as in the alerts."""

OVERLOAD = "overload"


@dataclass(slots=True)
class VerbCounts:
    """The requests to a verb since the start. failed: with a server error. refused: because of too many requests.

    buckets: those answered with success within the bounds of a histogram, by the bound in seconds, cumulative.
    """

    requests: float = 0.0
    failed: float = 0.0
    refused: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict)


@dataclass(slots=True)
class Counters:
    """The counters at one moment, `at`, unix seconds.

    lacking: slates without a stage, by stage. slate_seconds: the time of all slates together. limit: slates that may be
    in flight, of all gateway processes of this host. ages: of what slates were made from, by part, in buckets. lists:
    slates by the state of the user's list, such as fresh.
    """

    at: float
    verbs: dict[str, VerbCounts] = field(default_factory=lambda: {verb: VerbCounts() for verb in VERBS})
    lacking: dict[str, float] = field(default_factory=dict)
    slate_seconds: float = 0.0
    limit: float = 0.0
    ages: dict[str, dict[float, float]] = field(default_factory=dict)
    lists: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Add a sample of a metric; one that the page does not show has no effect."""
        if name.startswith("tandem_request_seconds_") and labels["verb"] in self.verbs:
            _add_request(self.verbs[labels["verb"]], name, labels, value)
        elif name == "tandem_freshness_seconds_bucket":
            _add_bucket(self.ages.setdefault(labels["part"], {}), labels["le"], value)
        elif name == "tandem_slate_seconds_sum":
            self.slate_seconds += value
        elif name == "tandem_lists_total":
            self.lists[labels["outcome"]] = self.lists.get(labels["outcome"], 0.0) + value
        elif name == "tandem_degraded_total":
            self.lacking[labels["stage"]] = self.lacking.get(labels["stage"], 0.0) + value
        elif name == "tandem_slates_limit":
            self.limit += value


def read() -> Counters:
    """Read the files of all processes of this host; they may be many, so call it in a thread."""
    counters = Counters(time.time())
    for metric in _merged():
        for sample in metric.samples:
            counters.add(sample.name, sample.labels, sample.value)
    return counters


def _merged() -> list[Metric]:
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    files = [str(path) for pattern in FILES for path in folder.glob(pattern)]
    return list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]  # no hints


def _add_request(counts: VerbCounts, name: str, labels: Mapping[str, str], value: float) -> None:
    code = labels["code"]
    if name.endswith("_bucket") and code in OK:
        _add_bucket(counts.buckets, labels["le"], value)
    elif name.endswith("_count"):
        counts.requests += value
        counts.failed += value * (code in FAILED or code.startswith("5"))
        counts.refused += value * (code in REFUSED)


def _add_bucket(buckets: dict[float, float], bound: str, value: float) -> None:
    buckets[float(bound)] = buckets.get(float(bound), 0.0) + value
