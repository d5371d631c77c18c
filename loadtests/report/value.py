"""A report as a value: a sentence, tables and charts. It knows neither HTML nor Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from loadtests.report.scale import Scale

COLOURS = {
    "first": ("#0b6e75", "#5cc4c5"),
    "second": ("#b5762a", "#dda25a"),
    "third": ("#6a4c93", "#b59be0"),
    "fourth": ("#3f6fb0", "#86b0ea"),
    "fifth": ("#7d7d33", "#bdbd6a"),
    "sixth": ("#9b4d6d", "#df93b1"),
    "good": ("#1c7a45", "#67c48d"),
    "bad": ("#b3261e", "#f28b82"),
    "soft": ("#8d8980", "#85827b"),
}
"""By kind: on light paper, on dark."""

KINDS = ("first", "second", "third", "fourth", "fifth", "sixth", "soft")
"""For things that are alike, such as peers, in order."""


@dataclass(frozen=True)
class Line:
    """y over x; it is broken where y is not finite. spread: the least and the most at each x, drawn as a whisker.

    joined: whether a line is drawn from point to point, or each stands alone.
    """

    label: str
    kind: str
    points: Sequence[tuple[float, float]]
    spread: Sequence[tuple[float, float]] = ()
    dashed: bool = False
    dots: bool = False
    joined: bool = True

    def pieces(self) -> list[list[tuple[float, float]]]:
        """The points without those that are nowhere, broken there."""
        found: list[list[tuple[float, float]]] = [[]]
        for x, y in self.points:
            if math.isfinite(x) and math.isfinite(y):
                found[-1].append((x, y))
            elif found[-1]:
                found.append([])
        return [piece for piece in found if piece]


@dataclass(frozen=True)
class Bars:
    """Heights from x0 to x1. Those of one chart are stacked in their order, and have the same x0 and x1."""

    label: str
    kind: str
    bars: Sequence[tuple[float, float, float]]


@dataclass(frozen=True)
class Rule:
    """A value that others are held against, across the whole chart. axis: "x" or "y", which it is a value of."""

    label: str
    value: float
    axis: str = "y"
    kind: str = "bad"


@dataclass(frozen=True)
class Chart:
    """Lines over bars, with rules across."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line] = ()
    bars: Sequence[Bars] = ()
    rules: Sequence[Rule] = ()
    log_x: bool = False
    log_y: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(line.pieces() for line in self.lines) and not any(part.bars for part in self.bars)

    @property
    def x(self) -> Scale:
        """Along the bottom."""
        seen = [x for line in self.lines for piece in line.pieces() for x, _ in piece]
        seen += [edge for part in self.bars for left, right, _ in part.bars for edge in (left, right)]
        return Scale.over([*seen, *self._ruled("x")], self.log_x)

    @property
    def y(self) -> Scale:
        """Up the side; from 0 where it is not logarithmic."""
        seen = [y for line in self.lines for piece in line.pieces() for _, y in piece]
        seen += [end for line in self.lines for ends in line.spread for end in ends]
        tops: dict[float, float] = {}
        for part in self.bars:
            for left, _, height in part.bars:
                tops[left] = tops.get(left, 0.0) + height
        return Scale.over([*seen, *tops.values(), *self._ruled("y"), *([] if self.log_y else [0.0])], self.log_y)

    def stacked(self) -> Iterator[tuple[Bars, float, float, float, float]]:
        """Every bar that has a height: of what, from x0 to x1, from its foot to its top."""
        tops: dict[float, float] = {}
        for part in self.bars:
            for left, right, height in part.bars:
                foot = tops.get(left, 0.0)
                tops[left] = foot + height
                if height:
                    yield part, left, right, foot, foot + height

    def _ruled(self, axis: str) -> list[float]:
        return [rule.value for rule in self.rules if rule.axis == axis and math.isfinite(rule.value)]


@dataclass(frozen=True)
class Table:
    """Rows of words; the first of a row names it."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """For a terminal."""
        widths = [max(len(row[column]) for row in (self.header, *self.rows)) for column in range(len(self.header))]
        lines = [
            "  ".join(f"{cell:>{width}}" if place else f"{cell:{width}}" for place, (cell, width) in enumerate(pairs))
            for pairs in (zip(row, widths, strict=True) for row in (self.header, *self.rows))
        ]
        return "\n".join([self.title, *(line.rstrip() for line in lines)])


@dataclass(frozen=True)
class Report:
    """What a run found. good: whether it is what was hoped for; None where nothing was."""

    title: str
    byline: str
    sentence: str
    good: bool | None
    parts: Sequence[Table | Chart] = field(default_factory=tuple)

    @property
    def charts(self) -> list[Chart]:
        """Those that have something to show."""
        return [part for part in self.parts if isinstance(part, Chart) and not part.empty]
