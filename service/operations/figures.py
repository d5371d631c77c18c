"""The figures of requests between two readings of the counters: rates, percentiles, shares and load."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from service.operations.counters import OVERLOAD, Counters, VerbCounts

SHOWN_VERB = "recommend"
"""The verb of the charts. Shares of slates are of its answers."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The requests to a verb in a time that ends `at`, unix seconds, after `seconds`. p50, p95, p99: seconds.

    Shares are of all requests; those of a time without requests are None. lacking: slates without a stage, for each
    successful answer; the stage that is missing most counts. overload: the same for answers from a list because too
    many requests were in flight. in_flight: slates at the same time, on average. limit: of slates in flight.
    The last four are of all verbs.
    """

    at: float
    seconds: float
    rate: float
    p50: float | None
    p95: float | None
    p99: float | None
    failed: float | None
    refused: float | None
    lacking: float | None
    overload: float | None
    in_flight: float
    limit: float


def figures(verb: str, before: Counters, after: Counters) -> Figures:
    """The figures of the time between two readings."""
    seconds = max(after.at - before.at, 1e-3)  # a clock that was set back gives wrong figures, and no error
    old, new = before.verbs[verb], after.verbs[verb]
    requests = new.requests - old.requests
    buckets = since(old.buckets, new.buckets)
    lacking = {stage: count - before.lacking.get(stage, 0.0) for stage, count in after.lacking.items()}
    answered = _answered(after.verbs[SHOWN_VERB]) - _answered(before.verbs[SHOWN_VERB])
    overload = lacking.pop(OVERLOAD, 0.0)
    return Figures(
        at=after.at,
        seconds=seconds,
        rate=requests / seconds,
        p50=quantile(0.5, buckets),
        p95=quantile(0.95, buckets),
        p99=quantile(0.99, buckets),
        failed=_share(new.failed - old.failed, requests),
        refused=_share(new.refused - old.refused, requests),
        lacking=_share(max(lacking.values(), default=0.0), answered),
        overload=_share(overload, answered),
        in_flight=(after.slate_seconds - before.slate_seconds) / seconds,  # Little's law: rate times mean time
        limit=after.limit,
    )


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """The value below which this share of the observations lies; None without observations.

    buckets: the number of observations up to each bound, ascending; the last bound is infinite. A quantile above the
    last finite bound is that bound.
    """
    wanted = share * buckets.get(math.inf, 0.0)
    if not wanted:
        return None
    low, below = 0.0, 0.0
    for bound, count in buckets.items():
        if count >= wanted:
            return low if bound == math.inf else low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low


def since(before: Mapping[float, float], after: Mapping[float, float]) -> dict[float, float]:
    """The observations between two readings up to each bound, ascending."""
    return {bound: count - before.get(bound, 0.0) for bound, count in sorted(after.items())}


def shares(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """The share of each outcome between two readings; empty if nothing was counted."""
    counted = {name: count - before.get(name, 0.0) for name, count in after.items()}
    whole = sum(counted.values())
    return {name: count / whole for name, count in counted.items()} if whole else {}


def _answered(counts: VerbCounts) -> float:
    return counts.buckets.get(math.inf, 0.0)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
