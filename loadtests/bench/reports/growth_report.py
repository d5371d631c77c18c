"""A deployment by the size of its catalogue and its number of gateway processes: figures and report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from loadtests.bench.figures import spread
from loadtests.bench.point import LEAST_WHOLE, Point
from loadtests.bench.reports.lines import over_passes
from loadtests.processes.memory import Sample
from training.report.charts import Chart, chart, limit
from training.report.page import Report, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Key = tuple[int, int]
"""Items, and processes of the gateway."""


@dataclass(frozen=True)
class Cell:
    """One deployment in one pass.

    points: one for each rate. memory: after the loads. knee: requests a second, 0 where no rate held, None where
    the pass did not search for it.
    """

    items: int
    workers: int
    number: int
    points: Sequence[Point]
    memory: Sample
    knee: float | None

    @property
    def key(self) -> Key:
        """The catalogue and the processes."""
        return self.items, self.workers

    def line(self) -> str:
        """For the terminal."""
        highest = "" if self.knee is None else f", holds {self.knee:.0f}/s"
        return f"   {self.items:,} items, {self.workers} gateways: {self.memory.memory:.0f} MiB{highest}"

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        figures = {"items": self.items, "workers": self.workers, "pass": self.number, "knee": self.knee}
        return figures | {"memory": self.memory.to_json(), "points": [point.to_json() for point in self.points]}


def growth_report(cells: Sequence[Cell], p99_ms: float, byline: str) -> Report:
    """Every catalogue with every number of gateway processes."""
    found: dict[Key, list[Cell]] = {}
    for cell in sorted(cells, key=lambda each: (each.key, each.number)):
        found.setdefault(cell.key, []).append(cell)
    rate = max(point.rate for cell in cells for point in cell.points)

    def at_rate(value: Callable[[Point], float]) -> Callable[[Cell], float]:
        return lambda cell: next(value(point) for point in cell.points if point.rate == rate)

    charts = [
        _chart(f"p99, at {rate:g} a second", "ms", found, at_rate(lambda point: point.percentile(0.99)), p99_ms),
        _chart(f"CPU of a request, at {rate:g} a second", "ms", found, at_rate(lambda point: point.cpu_ms)),
        _chart("Memory of all processes", "MiB", found, lambda cell: cell.memory.memory),
    ]
    if all(cell.knee is not None for cell in cells):
        charts.append(_chart("Highest rate that holds", "requests a second", found, lambda cell: cell.knee or 0.0))
    parts = [_times(found), _memory(found), *charts]
    return Report("Catalogues that grow", byline, _sentence(found), None, parts)


def _times(found: Mapping[Key, Sequence[Cell]]) -> Table:
    """CPU, p50 and p99 at each rate, least and most of the passes, and the highest rate that holds."""
    rates = [point.rate for point in next(iter(found.values()))[0].points]
    rows = []
    for (items, workers), passes in found.items():
        row = [f"{items:,}", f"{workers}"]
        for place in range(len(rates)):
            points = [cell.points[place] for cell in passes]
            row += [spread([point.cpu_ms for point in points], ".2f")]
            row += [spread([point.percentile(share) for point in points], ".0f") for share in (0.5, 0.99)]
            if (least := min(point.whole for point in points)) < LEAST_WHOLE:
                row[-1] += f" ({least:.0%} whole)"
        knees = [cell.knee for cell in passes if cell.knee is not None]
        rows.append([*row, spread(knees, ".0f") if knees else "-"])
    header = ["items", "gateways"]
    for rate in rates:
        header += [f"{rate:g}/s: CPU ms", "p50 ms", "p99 ms"]
    return Table("Times and CPU by catalogue and gateway processes", [*header, "holds, a second"], rows)


def _memory(found: Mapping[Key, Sequence[Cell]]) -> Table:
    """MiB by role, least and most of the passes."""
    roles = sorted({role for passes in found.values() for cell in passes for role in cell.memory.pss})
    rows = []
    for (items, workers), passes in found.items():
        by_role = [spread([cell.memory.pss.get(role, 0.0) for cell in passes], ".0f") for role in roles]
        rows.append([f"{items:,}", f"{workers}", spread([cell.memory.memory for cell in passes], ".0f"), *by_role])
    title = "Memory, MiB, without the store; a page that processes share is divided among them"
    return Table(title, ["items", "gateways", "all", *roles], rows)


def _chart(
    title: str, unit: str, found: Mapping[Key, Sequence[Cell]], value: Callable[[Cell], float], p99_ms: float = inf
) -> Chart:
    """A line over the items for each number of gateway processes."""

    def draw(axes: Axes) -> None:
        for workers in sorted({workers for _, workers in found}):
            by_items = {items: [value(cell) for cell in passes] for (items, n), passes in found.items() if n == workers}
            over_passes(axes, f"{workers} gateway{'s' if workers > 1 else ''}", by_items)
        limit(axes, f"limit of p99: {p99_ms:g} ms", p99_ms)

    return chart(title, draw, xlabel="items", ylabel=unit, xscale="log")


def _sentence(found: Mapping[Key, Sequence[Cell]]) -> str:
    """The smallest and the largest catalogue, with the fewest gateway processes."""
    fewest = min(workers for _, workers in found)
    ends = []
    for items in dict.fromkeys((min(items for items, _ in found), max(items for items, _ in found))):
        passes = found[items, fewest]
        last = [cell.points[-1] for cell in passes]
        p99 = spread([point.percentile(0.99) for point in last], ".0f")
        memory = spread([cell.memory.memory for cell in passes], ".0f")
        ends.append(f"{items:,} items: p99 {p99} ms at {last[0].rate:g} a second, {memory} MiB")
    return f"With {fewest} gateway process{'es' if fewest > 1 else ''}, {'; '.join(ends)}."
