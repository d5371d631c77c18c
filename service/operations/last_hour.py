"""The last hour of requests for the page /operations: rates, percentiles, failures and load, kept in the process.

A task reads the counters of all processes of this host every SAMPLE_SECONDS. Differences of two readings give rates,
and percentiles by linear interpolation within a bucket, as Prometheus' `histogram_quantile` does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from service.operations import counters
from service.operations.counters import Counters
from service.operations.figures import SHOWN_VERB, Figures, figures, quantile, shares, since
from service.telemetry.periodic import repeat

SAMPLE_SECONDS = 15.0
"""Time between two readings: the usual scrape interval of Prometheus."""

MOST_CPU = 0.01
"""Of one core, for the readings of all gateway processes of a host: where they take more, they are less frequent. A
reading takes 5 ms of CPU with two processes of the demo, and 100 ms with eight that have 10 surfaces and 32 arms."""

HOUR = 3_600.0

RECENT_SECONDS = 300.0
"""The window of the figures that are shown as those of now. The alerts have the same."""


@dataclass(frozen=True, slots=True)
class LastHour:
    """recent: of the last RECENT_SECONDS, by verb. minutes: of /recommend, oldest first; empty in the first 15 s.

    answer_ages: the median age in seconds of what the slates of the last RECENT_SECONDS were made from, by part.
    lists: the share of these slates by the state of the user's list, such as fresh.
    """

    recent: dict[str, Figures]
    minutes: list[Figures]
    answer_ages: dict[str, float | None]
    lists: dict[str, float]


class Readings:
    """The readings of the last hour in this process."""

    def __init__(self, processes: int, read: Callable[[], Counters] = counters.read) -> None:
        """processes: gateway processes of this host."""
        self._processes = processes
        self._read = read
        self._kept: list[Counters] = []

    async def follow(self) -> None:
        """Read the counters, without an end."""
        await repeat("last-hour", self._add_and_rest, SAMPLE_SECONDS)

    async def add(self) -> float:
        """Read the counters once, and return the seconds of CPU that it took."""
        newest, spent = await asyncio.to_thread(self._timed)
        self._kept = [*_needed(self._kept, newest), newest]
        return spent

    async def _add_and_rest(self) -> None:
        spent = await self.add()
        await asyncio.sleep(max(0.0, spent * self._processes / MOST_CPU - SAMPLE_SECONDS))

    def _timed(self) -> tuple[Counters, float]:
        start = time.thread_time()
        return self._read(), time.thread_time() - start

    def last_hour(self) -> LastHour:
        """The figures of the last hour; without any before the second reading."""
        kept = self._kept
        if len(kept) < 2:
            return LastHour({}, [], {}, {})
        end = kept[-1]
        start = next(each for each in kept if end.at - each.at <= RECENT_SECONDS + SAMPLE_SECONDS / 2)
        start = kept[-2] if start is end else start
        minutes = [*{each.at // 60: each for each in kept}.values()]  # the last reading of each minute
        if minutes[0] is not kept[0]:
            minutes = [kept[0], *minutes]  # the requests of the first minute begin at the first reading
        return LastHour(
            {verb: figures(verb, start, end) for verb in counters.VERBS},
            [figures(SHOWN_VERB, before, after) for before, after in pairwise(minutes)],
            {part: quantile(0.5, since(start.ages.get(part, {}), ages)) for part, ages in end.ages.items()},
            shares(start.lists, end.lists),
        )


def _needed(kept: Sequence[Counters], newest: Counters) -> Iterator[Counters]:
    """The readings of the last hour: the recent ones, and before these the last of each minute.

    A reading takes 16 kB, so all take 1.3 MB.
    """
    for each, later in pairwise((*kept, newest)):
        age = newest.at - each.at
        if age <= RECENT_SECONDS + SAMPLE_SECONDS or (age <= HOUR and each.at // 60 != later.at // 60):
            yield each
