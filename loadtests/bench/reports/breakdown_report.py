"""The CPU of a request by process, beside its kernels alone: figures and report."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from loadtests.bench.figures import spread
from loadtests.bench.kernels.floor import Floor
from loadtests.bench.point import LEAST_WHOLE, Point
from training.report.charts import Chart, chart
from training.report.page import Report, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_FLOOR = Floor(0.0, 0.0)
"""Before the kernels are measured."""


@dataclass(frozen=True)
class Part:
    """One load in one pass. batch: mean queries a call. roles: CPU ms a request by the role of the process."""

    number: int
    point: Point
    batch: int
    roles: dict[str, float]
    floor: Floor = NO_FLOOR

    def over(self, floor: Floor) -> Part:
        """The same load, with the CPU of its kernels."""
        return replace(self, floor=floor)

    @property
    def kernels(self) -> float:
        """CPU ms of the kernels alone."""
        return self.floor.retrieval + self.floor.ranking

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        figures = {"pass": self.number, "batch": self.batch, "roles": self.roles, "floor": asdict(self.floor)}
        return figures | {"point": self.point.to_json()}


def breakdown_report(parts: Sequence[Part], byline: str) -> Report:
    """A table of all rates, and a chart for each."""
    rates = sorted({part.point.rate for part in parts})
    found = [[part for part in parts if part.point.rate == rate] for rate in rates]
    roles = sorted({role for part in parts for role in part.roles})
    kernels, cpu = (
        statistics.median(each) for each in ([p.kernels for p in found[-1]], [p.point.cpu_ms for p in found[-1]])
    )
    sentence = (
        f"At {rates[-1]:g} a second a request takes {cpu:.2f} ms of CPU. Its kernels alone take {kernels:.2f} ms, "
        f"{kernels / cpu:.0%}."
    )
    charts = [_chart(passes, roles) for passes in found]
    return Report("Where the CPU of a request goes", byline, sentence, None, [_table(found, roles), *charts])


def _table(found: Sequence[Sequence[Part]], roles: Sequence[str]) -> Table:
    """Least and most of the passes at each rate."""
    rows = []
    for parts in found:
        whole = min(part.point.whole for part in parts)
        rows.append(
            [
                f"{parts[0].point.rate:g}" + ("" if whole >= LEAST_WHOLE else f" ({whole:.0%} whole)"),
                spread([part.batch for part in parts], "d"),
                *(spread([part.roles.get(role, 0.0) for part in parts], ".2f") for role in roles),
                spread([part.point.cpu_ms for part in parts], ".2f"),
                spread([part.floor.retrieval for part in parts], ".2f"),
                spread([part.floor.ranking for part in parts], ".2f"),
                spread([part.kernels / part.point.cpu_ms for part in parts], ".0%"),
            ]
        )
    header = ["a second", "queries a call", *roles, "all", "kernels: retrieval", "ranking", "of all"]
    return Table("CPU ms of a request by process, and of its kernels alone", header, rows)


def _chart(parts: Sequence[Part], roles: Sequence[str]) -> Chart:
    """Two stacked bars: all processes, and the kernels alone."""
    medians = {role: statistics.median(part.roles.get(role, 0.0) for part in parts) for role in roles}
    kernels = {
        "kernels of retrieval": statistics.median(part.floor.retrieval for part in parts),
        "kernels of ranking": statistics.median(part.floor.ranking for part in parts),
    }

    def draw(axes: Axes) -> None:
        for place, stack in (("all processes", medians), ("kernels alone", kernels)):
            left = 0.0
            for name, value in stack.items():
                axes.barh(place, value, left=left, label=name)
                left += value

    return chart(f"CPU of a request at {parts[0].point.rate:g} a second", draw, xlabel="ms")
