"""The promises of slo.toml that the page /operations shows beside what was measured."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from recsys.alert_limits import LEAST_ALERTING, SKEW_SHARE
from recsys.store.run_record import LIST_FLOWS


@dataclass(frozen=True, slots=True)
class Promises:
    """p99: seconds, by verb. flows: the longest time between two successes in seconds, by flow. ages: the
    greatest age of model, list and trending items that slates are made from, in seconds.

    failed: the share of requests to /recommend that may fail. alerting: the share of requests that alerts. lacking: the
    share of slates that may lack a stage. skew: the share of logged values that may differ from recomputed ones. lists:
    the flows that make lists.
    """

    p99: dict[str, float]
    flows: dict[str, float]
    ages: dict[str, float]
    failed: float
    alerting: float
    lacking: float
    skew: float = SKEW_SHARE
    lists: tuple[str, ...] = LIST_FLOWS

    @classmethod
    def read(cls, path: Path) -> Promises:
        """The promises of a file that has the form of slo.toml; a table that is missing promises nothing."""
        slo = tomllib.loads(path.read_text(encoding="utf-8"))
        p99 = {verb: table["p99_ms"] / 1000 for verb, table in slo.items() if "p99_ms" in table}
        flows = {flow: float(seconds) for flow, seconds in slo.get("flows", {}).items()}
        ages = {part: float(seconds) for part, seconds in slo.get("freshness", {}).items()}
        failed, lacking = (slo["recommend"].get(name, 0.0) for name in ("error_share", "degraded_share"))
        return cls(p99, flows, ages, failed, max(failed, LEAST_ALERTING), lacking)
