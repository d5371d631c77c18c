"""The last hour of requests for the page /operations: rates, percentiles, failures and load, kept in the process.

A task reads the counters of all processes of this host every SAMPLE_SECONDS. Differences of two readings give rates,
and percentiles by linear interpolation within a bucket, as Prometheus' `histogram_quantile` does.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from service.operations import counters
from service.operations.counters import OVERLOAD, Counters, VerbCounts
from service.telemetry.periodic import repeat

SAMPLE_SECONDS = 15.0
"""Time between two readings: the usual scrape interval of Prometheus."""

MOST_PROCESSES = 8
"""Gateway processes of a host up to which each one reads so often. A reading takes 3 ms of CPU with two of them, and
grows with their number, as does the number of readers."""

HOUR = 3_600.0

RECENT_SECONDS = 300.0
"""The window of the figures that are shown as those of now. The alerts have the same."""

SHOWN_VERB = "recommend"


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


@dataclass(frozen=True, slots=True)
class LastHour:
    """recent: of the last RECENT_SECONDS, by verb. minutes: of /recommend, oldest first; empty in the first 15 s.

    answer_ages: the median age in seconds of what the slates of the last RECENT_SECONDS were made from, by part.
    """

    recent: dict[str, Figures]
    minutes: list[Figures]
    answer_ages: dict[str, float | None]


class Readings:
    """The readings of the last hour in this process."""

    def __init__(self, processes: int, read: Callable[[], Counters] = counters.read) -> None:
        """processes: gateway processes of this host."""
        self._seconds = SAMPLE_SECONDS * math.ceil(processes / MOST_PROCESSES)
        self._read = read
        self._kept: deque[Counters] = deque()

    async def follow(self) -> None:
        """Read the counters, without an end."""
        await repeat(self.add, self._seconds, "The counters of the last hour can't be read.")

    async def add(self) -> None:
        """Read the counters once."""
        newest = await asyncio.to_thread(self._read)
        self._kept.append(newest)
        while newest.at - self._kept[0].at > HOUR + self._seconds:
            self._kept.popleft()

    def last_hour(self) -> LastHour:
        """The figures of the last hour; without any before the second reading."""
        kept = [*self._kept]
        if len(kept) < 2:
            return LastHour({}, [], {})
        end = kept[-1]
        start = next(each for each in kept if end.at - each.at <= RECENT_SECONDS + self._seconds / 2)
        start = kept[-2] if start is end else start
        minutes = [*{each.at // 60: each for each in kept}.values()]  # the last reading of each minute
        if len(minutes) == 1:
            minutes = [kept[0], end]
        return LastHour(
            {verb: figures(verb, start, end) for verb in counters.VERBS},
            [figures(SHOWN_VERB, before, after) for before, after in pairwise(minutes)],
            {part: quantile(0.5, _since(start.ages.get(part, {}), ages)) for part, ages in end.ages.items()},
        )


def figures(verb: str, before: Counters, after: Counters) -> Figures:
    """The figures of the time between two readings."""
    seconds = after.at - before.at
    old, new = before.verbs[verb], after.verbs[verb]
    requests = new.requests - old.requests
    buckets = _since(old.buckets, new.buckets)
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


def _since(before: Mapping[float, float], after: Mapping[float, float]) -> dict[float, float]:
    """The observations between two readings up to each bound, ascending."""
    return {bound: count - before.get(bound, 0.0) for bound, count in sorted(after.items())}


def _answered(counts: VerbCounts) -> float:
    return counts.buckets.get(math.inf, 0.0)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
