"""The promises of slo.toml that the page /operations shows beside what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from recsys.alert_limits import LEAST_ALERTING, SKEW_SHARE
from recsys.flow_names import LIST_FLOWS
from recsys.promises import stated_promises


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
    def read(cls) -> Promises:
        """The promises of slo.toml; SettingsError if it is wrong."""
        slo = stated_promises()
        recommend = slo.recommend
        p99 = {"recommend": recommend.p99_ms / 1000}
        p99 |= {verb: promise.p99_ms / 1000 for verb, promise in slo.verbs.items()}
        flows, failed = {flow: float(seconds) for flow, seconds in slo.flows.items()}, recommend.error_share
        return cls(p99, flows, slo.ages, failed, max(failed, LEAST_ALERTING), recommend.degraded_share)
