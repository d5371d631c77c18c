"""What starts of a deployment were, and whether they held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from loadtests.point import LEAST_WHOLE, Point
from loadtests.slo import Line, Verdict

READY_SECONDS = 15.0
"""To /readyz, where what was fetched and compiled once is there."""

FIRST_TIMES = 2.0
"""The p99 of a steady load, that the first request may take."""


@dataclass(frozen=True)
class Start:
    """One start. number: 0 of the one that has everything to fetch. ready: seconds. cpu: of all processes until then,
    seconds. first, later: milliseconds of the first request, and of the slowest of the few that followed. point: the
    steady load.
    """

    topology: str
    number: int
    ready: float
    cpu: float
    first: float
    later: float
    point: Point

    @property
    def warm(self) -> bool:
        """Whether another went before it."""
        return self.number > 0

    @property
    def p99(self) -> float:
        """Milliseconds, of the steady load."""
        return self.point.percentile(0.99)

    @property
    def times(self) -> float:
        """How many times the steady p99 the slowest of the first requests took; infinite where no steady load was held.

        Not the first alone: with two gateways, another is the first for the other.
        """
        measured = self.point.whole >= LEAST_WHOLE and not self.point.tally.generator_late
        return max(self.first, self.later) / self.p99 if measured else inf

    def line(self) -> str:
        """For a person who waits."""
        return (
            f"   {'warm' if self.warm else 'cold'} start of {self.topology}: ready after {self.ready:.1f} s and "
            f"{self.cpu:.1f} s of CPU, first request {self.first:.1f} ms, the slowest of the next {self.later:.1f} ms, "
            f"x{self.times:.2f} of p99"
        )

    def to_json(self) -> dict[str, Any]:
        """For a file; what was never reached is null."""
        figures = {
            "ready_s": self.ready,
            "ready_cpu_s": self.cpu,
            "first_ms": self.first,
            "later_ms": self.later,
            "times": self.times,
        }
        told = {name: value if value < inf else None for name, value in figures.items()}
        return {"topology": self.topology, "number": self.number, **told, "steady": self.point.to_json()}


def verdict(starts: Sequence[Start]) -> Verdict:
    """The worst of the warm starts of each topology. requests: of the steady loads."""
    lines = []
    for topology in dict.fromkeys(each.topology for each in starts):
        warm = [each for each in starts if each.topology == topology and each.warm]
        lines.append(Line(f"{topology}: seconds to ready", READY_SECONDS, max(each.ready for each in warm)))
        lines.append(Line(f"{topology}: first of p99", FIRST_TIMES, max(each.times for each in warm)))
    return Verdict(sum(each.point.tally.count() for each in starts), lines)
