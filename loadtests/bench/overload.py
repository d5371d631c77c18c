"""Overload benchmark of one server: it gets twice and five times its knee, the highest request rate that it holds.

The figures are the goodput (complete answers within the deadline, a second), the CPU of a rejected request beside that
of a served one, and the time to recover after a surge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any

from loadtests.arrivals import Shape
from loadtests.bench.point import LEAST_WHOLE, Point
from loadtests.tally import ANSWERED, Outcome, Tally

TIMES = (1, 2, 5)
FULL = (2, 4)
"""Times the peak: two loads beyond it that differ in the number of rejected requests."""

FEWEST_REJECTED = 0.02
"""Least share of rejected requests at the highest load for which the CPU of a rejection is measured."""

BASE = 0.5
"""Share of the knee that is sent before and after a surge. At the knee itself no capacity is left to recover."""

BEFORE, CALM = 5, 15
"""Seconds at the base rate before and after a surge."""

GIVE_UP = 2.0
"""Seconds after which the generator gives a request up."""


@dataclass(frozen=True)
class Overload:
    """One peer in one pass, by times the knee. goodput: whole answers in time, a second. p99_ms: of answered requests.

    rejection: CPU of a rejected request over that of a served one; None if too few were rejected. recovery: seconds
    from the end of the surge until p99 holds again, or infinite. late: runs whose generator was late.
    """

    peer: str
    number: int
    knee: float
    offered: dict[int, float]
    goodput: dict[int, float]
    p99_ms: dict[int, float]
    rejected: dict[int, float]
    late: list[str]
    rejection: float | None
    recovery: float

    @property
    def peak(self) -> float:
        """The highest goodput of the runs, a second."""
        return max(self.goodput.values())

    def share(self, times: int) -> float:
        """Goodput at so many times the knee, as a share of the peak or of the offered rate, whichever is less."""
        return self.goodput[times] / min(self.peak, self.offered[times]) if self.peak else 0.0

    def to_json(self) -> dict[str, Any]:
        """For a file; an infinite recovery is null."""
        figures = asdict(self) | {"peak": self.peak, "shares": {times: self.share(times) for times in self.goodput}}
        figures["recovery"] = self.recovery if self.recovery < inf else None
        figures["p99_ms"] = {times: value if value < inf else None for times, value in self.p99_ms.items()}
        return figures


Load = Callable[[Shape], Point]


def overload(
    load: Load, name: str, number: int, knee: float, seconds: float, deadline_ms: float, p99_ms: float
) -> tuple[Overload, Point]:
    """Send steady loads of so many seconds, then a surge. Return the figures and the surge."""
    points = {times: load(Shape("steady", ((seconds, times * knee),))) for times in TIMES}
    surge = load(Shape("surge", ((BEFORE, BASE * knee), (round(seconds), TIMES[-1] * knee), (CALM, BASE * knee))))
    runs = {**{f"{times}x": point for times, point in points.items()}, "surge": surge}
    found = Overload(
        name,
        number,
        knee,
        {times: point.tally.count() / seconds for times, point in points.items()},
        {times: goodput(point.tally, seconds, deadline_ms) for times, point in points.items()},
        {times: point.percentile(0.99) for times, point in points.items()},
        {times: point.tally.share(Outcome.REJECTED) for times, point in points.items()},
        [run for run, point in runs.items() if point.tally.generator_late],
        None,
        recovery(surge.tally, BEFORE + round(seconds), p99_ms),
    )
    if found.rejected[TIMES[-1]] < FEWEST_REJECTED:
        return found, surge
    less, more = (load(Shape("steady", ((seconds, times * found.peak),))).tally for times in FULL)
    return replace(found, rejection=rejection(less, more)), surge


def goodput(tally: Tally, seconds: float, deadline_ms: float) -> float:
    """Whole answers within the deadline, a second."""
    return tally.of(Outcome.WHOLE).within(deadline_ms) / seconds


def rejection(less: Tally, more: Tally) -> float | None:
    """CPU of a rejected request over that of a served one, from two runs with different numbers of rejected requests.

    cpu = a * served + b * rejected in both runs. Both runs are beyond the capacity, so batches are full in both.
    """
    (s1, r1), (s2, r2) = ((run.count(*ANSWERED), run.count(Outcome.REJECTED)) for run in (less, more))
    determinant = s1 * r2 - s2 * r1
    if not s1 or not s2 or r2 / s2 < 1.5 * (r1 / s1) or r2 < 100 or not determinant:
        return None
    served = (less.cpu_seconds * r2 - more.cpu_seconds * r1) / determinant
    rejected = (s1 * more.cpu_seconds - s2 * less.cpu_seconds) / determinant
    return rejected / served if served > 0 else None


def recovery(tally: Tally, fall: int, p99_ms: float) -> float:
    """Seconds from the fall until two seconds in a row hold; requests belong to the second in which they were due."""

    def holds(second: int) -> bool:
        due = tally.of(*Outcome, first=second, end=second + 1)
        whole = tally.of(Outcome.WHOLE, first=second, end=second + 1)
        times = tally.of(*ANSWERED, first=second, end=second + 1)
        return len(whole) >= LEAST_WHOLE * max(len(due), 1) and times.percentile(0.99) <= p99_ms

    return next((float(s - fall) for s in range(fall, tally.seconds - 1) if holds(s) and holds(s + 1)), inf)
