"""How seconds and memory grow with the data: measurements, the exponents between them, and their tables.

An exponent of 1 is growth in step with the data, 0 none, 2 a square. Knows no models and measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

LIMIT = 1.15
"""n log n has 1.07 between a million and ten; the rest is for a machine that also does other things."""

LEAST_SECONDS, LEAST_MIB = 0.5, 50.0
"""Below these a measurement is the price of starting, and counts as this much."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step took: seconds by the clock and of all cores, and resident memory at its highest.

    mib: of the process, without what it was born with.
    """

    seconds: float
    cpu: float
    mib: float


@dataclass(frozen=True, slots=True)
class Point:
    """One size of data that was measured, and what each step took there."""

    interactions: int
    items: int
    steps: Mapping[str, Cost]


@dataclass(frozen=True, slots=True)
class Growth:
    """Exponents of one step: over all sizes, and between the two largest, where constants weigh least.

    Of CPU seconds, which other work on the machine stretches less than it does the clock's.
    """

    cpu: float
    cpu_last: float
    mib: float
    mib_last: float

    @property
    def too_fast(self) -> bool:
        """Whether it grows faster than its data times a logarithm."""
        return max(self.cpu_last, self.mib_last) > LIMIT


@dataclass(frozen=True, slots=True)
class Axis:
    """Points that differ in one size alone, ascending in it."""

    name: str
    points: Sequence[Point]

    @property
    def sizes(self) -> list[int]:
        """The size that differs."""
        return [int(getattr(point, self.name)) for point in self.points]

    @property
    def fixed(self) -> str:
        """The size that does not, in words."""
        other = "items" if self.name == "interactions" else "interactions"
        return f"{getattr(self.points[0], other):,} {other}"

    def growth(self) -> dict[str, Growth]:
        """The exponents of each step; of none with fewer than two sizes."""
        if len(self.points) < 2:
            return {}
        return {step: self._of(step) for step in self.points[0].steps}

    def _of(self, step: str) -> Growth:
        costs = [point.steps[step] for point in self.points]
        cpu = [max(cost.cpu, LEAST_SECONDS) for cost in costs]
        mib = [max(cost.mib, LEAST_MIB) for cost in costs]
        return Growth(
            cpu=exponent(self.sizes, cpu),
            cpu_last=exponent(self.sizes[-2:], cpu[-2:]),
            mib=exponent(self.sizes, mib),
            mib_last=exponent(self.sizes[-2:], mib[-2:]),
        )

    def table(self) -> Table:
        """For a person at a terminal."""
        table = Table(
            title=f"Growth in {self.name}, at {self.fixed}",
            caption=LEGEND,
            caption_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            show_edge=False,
        )
        table.add_column("step", no_wrap=True)
        for size in self.sizes:
            table.add_column(f"{short(size)}\ns", justify="right", no_wrap=True)
            table.add_column("\nMiB", justify="right", no_wrap=True)
        for head in ("all\nCPU", "\nMiB", "last\nCPU", "\nMiB"):
            table.add_column(head, justify="right", no_wrap=True)
        growth = self.growth()
        for step in self.points[0].steps:
            cells = [text for point in self.points for text in _cost(point.steps[step])]
            told = growth.get(step)
            table.add_row(step, *cells, *_exponents(told), style="red" if told and told.too_fast else None)
        return table


LEGEND = (
    "Seconds of each step and the process's memory at its highest in it, above an empty one's; then exponents, of CPU "
    "seconds and of memory: 1 grows as the data does. Over all sizes, and between the last two, where more than "
    f"{LIMIT} is too fast."
)


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that was measured."""

    machine: Mapping[str, Any]
    axes: Sequence[Axis]

    def violations(self) -> list[str]:
        """A sentence for each step that grows too fast."""
        return [
            f"{step} grows too fast in {axis.name}: CPU seconds by {growth.cpu_last:.2f}, "
            f"memory by {growth.mib_last:.2f} between the two largest."
            for axis in self.axes
            for step, growth in axis.growth().items()
            if growth.too_fast
        ]

    def to_json(self) -> dict[str, Any]:
        """As programs read it: machine, points, exponents of each axis, violations."""
        points = {(p.interactions, p.items): asdict(p) for axis in self.axes for p in axis.points}
        exponents = {axis.name: {step: asdict(g) for step, g in axis.growth().items()} for axis in self.axes}
        return {
            "machine": dict(self.machine),
            "points": list(points.values()),
            "exponents": exponents,
            "violations": self.violations(),
        }


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of log values over log sizes, by least squares."""
    return round(float(np.polyfit(np.log(sizes), np.log(values), 1)[0]), 3)


def short(size: int) -> str:
    """A size as people say it: 100k, 10M."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)


def _cost(cost: Cost) -> tuple[str, str]:
    return f"{cost.seconds:.1f}", f"{cost.mib:.0f}"


def _exponents(growth: Growth | None) -> tuple[str, ...]:
    if growth is None:
        return ("-",) * 4
    return tuple(f"{value:.2f}" for value in (growth.cpu, growth.mib, growth.cpu_last, growth.mib_last))
