"""What a pace that adapts is held to: the best fixed window, in the same pass.

The best is the one with the least p99 over the whole shape, which is what a deployment promises. The one with the
least CPU would be the longest there is: whoever waits for ever is cheap.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from loadtests.point import LEAST_WHOLE, Point
from loadtests.slo import Line, Verdict
from loadtests.tally import ANSWERED

ADAPTIVE = "adaptive"

WORSE = 1.05
"""Times the best fixed window, that the pace that adapts may take."""

Value = Callable[["Run"], float]


def fixed(window: float) -> str:
    """What a window (ms) is called."""
    return f"fixed {window:g} ms"


NONE = fixed(0)


@dataclass(frozen=True)
class Run:
    """One setting under the whole shape in one pass."""

    name: str
    number: int
    point: Point

    @property
    def cpu_ms(self) -> float:
        """A request."""
        return self.point.cpu_ms

    @property
    def p99(self) -> float:
        """Milliseconds, over the whole shape."""
        return self.point.percentile(0.99)

    def step(self, place: int, share: float) -> float:
        """A percentile of one piece of the shape, milliseconds."""
        seconds = [each for each, _ in self.point.shape.pieces]
        first = sum(seconds[:place])
        return self.point.tally.of(*ANSWERED, first=first, end=first + seconds[place]).percentile(share)

    @property
    def alone(self) -> float:
        """The p50 of the piece with the least load, milliseconds."""
        rates = [rate for _, rate in self.point.shape.pieces]
        return self.step(rates.index(min(rates)), 0.5)


def verdict(runs: Sequence[Run]) -> Verdict:
    """Of the adaptive pace; NONE alone is what a lone request is held against."""
    name = best(runs)
    lines = [
        Line("adaptive, not whole", 1 - LEAST_WHOLE, max(1 - run.point.whole for run in of(runs, ADAPTIVE))),
        _line(runs, "p99", name, lambda run: run.p99),
        _line(runs, "CPU", name, lambda run: run.cpu_ms),
        _line(runs, "p50 at the least load", NONE, lambda run: run.alone),
    ]
    return Verdict(sum(run.point.tally.count() for run in runs), lines)


def best(runs: Sequence[Run]) -> str | None:
    """The fixed window with the least median p99, of those that answered whole in every pass; None where none did."""
    names = [name for name in dict.fromkeys(run.name for run in runs) if name != ADAPTIVE]
    sound = [name for name in names if all(run.point.whole >= LEAST_WHOLE for run in of(runs, name))]
    return min(sound, key=lambda name: statistics.median(run.p99 for run in of(runs, name)), default=None)


def ratios(runs: Sequence[Run], name: str, value: Value) -> list[float]:
    """How many times a fixed window's the adaptive pace's is, pass by pass; infinite where a generator was late."""
    found = []
    for ours, theirs in zip(of(runs, ADAPTIVE), of(runs, name), strict=True):
        late = ours.point.tally.generator_late or theirs.point.tally.generator_late
        found.append(inf if late or not value(ours) < inf else value(ours) / value(theirs))
    return found


def of(runs: Sequence[Run], name: str) -> list[Run]:
    """Its passes, in order."""
    return sorted((run for run in runs if run.name == name), key=lambda run: run.number)


def _line(runs: Sequence[Run], what: str, name: str | None, value: Value) -> Line:
    """The median of the passes."""
    found = ratios(runs, name, value) if name else []
    against = f"of {name}" if found else "of no fixed window that held"
    return Line(f"{what}, {against}", WORSE, statistics.median(found) if found else 0.0)
