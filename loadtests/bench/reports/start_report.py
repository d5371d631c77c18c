"""Report of the start benchmark: the time and CPU until a deployment is ready, its first answers, and their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from loadtests.bench.figures import spread
from loadtests.slo import Line, Verdict, broken, judged
from training.report.charts import Chart, chart, finite, limit
from training.report.page import Report, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

READY_SECONDS = 15.0
"""Limit of the time to /readyz, for the fastest warm start."""

CPU_SECONDS = 25.0
"""Limit of the CPU of all processes until then, for each warm start."""

FIRST_MS = 150.0
"""Limit of each of the first answers of each warm start."""


@dataclass(frozen=True)
class Start:
    """One start.

    number: 0 of the cold start, which fetches everything. ready: seconds. cpu: seconds of all processes until then.
    first: milliseconds of each of the first answers; infinite for a degraded or missing answer.
    """

    topology: str
    number: int
    ready: float
    cpu: float
    first: tuple[float, ...]

    @property
    def warm(self) -> bool:
        """Whether the files of an earlier start are there."""
        return self.number > 0

    def line(self) -> str:
        """For a terminal."""
        return (
            f"   {'warm' if self.warm else 'cold'} start of {self.topology}: ready after {self.ready:.1f} s and "
            f"{self.cpu:.1f} s of CPU, first answer {self.first[0]:.1f} ms, the slowest of {len(self.first)} "
            f"{max(self.first):.1f} ms"
        )

    def to_json(self) -> dict[str, Any]:
        """For a file; a missing answer is null."""
        first = [each if each < inf else None for each in self.first]
        ready = {"ready_s": self.ready, "ready_cpu_s": self.cpu}
        return {"topology": self.topology, "number": self.number, **ready, "first_ms": first}


def verdict(starts: Sequence[Start]) -> Verdict:
    """The lines of each topology, over its warm starts. requests: the first answers."""
    lines = []
    for topology in dict.fromkeys(each.topology for each in starts):
        warm = [each for each in starts if each.topology == topology and each.warm]
        lines.append(Line(f"{topology}: seconds to ready, fastest", READY_SECONDS, min(each.ready for each in warm)))
        lines.append(Line(f"{topology}: CPU seconds to ready, most", CPU_SECONDS, max(each.cpu for each in warm)))
        slowest = max(max(each.first) for each in warm)
        lines.append(Line(f"{topology}: first answers, slowest ms", FIRST_MS, slowest))
    return Verdict(sum(len(each.first) for each in starts), lines)


def start_report(starts: Sequence[Start], verdict: Verdict, byline: str) -> Report:
    """Cold starts apart from warm starts."""
    failed = broken(verdict.lines)
    return Report(
        "Starts of the deployment",
        byline,
        f"A limit did not hold: {failed}." if failed else "The warm starts were ready in time, and their answers fast.",
        verdict.held,
        [
            _table(starts),
            judged("The warm starts of each topology", verdict.lines),
            _chart("Ready after", "s", starts, {each: each.ready for each in starts}, READY_SECONDS),
            _chart("Slowest of the first answers", "ms", starts, {each: max(each.first) for each in starts}, FIRST_MS),
        ],
    )


def _table(starts: Sequence[Start]) -> Table:
    """Least and most of the starts, cold and warm."""
    rows = []
    for topology in dict.fromkeys(each.topology for each in starts):
        for warm in (False, True):
            found = [each for each in starts if each.topology == topology and each.warm == warm]
            if found:
                rows.append(
                    [
                        f"{topology}, {'warm' if warm else 'cold'}",
                        f"{len(found)}",
                        spread([each.ready for each in found], ".1f"),
                        spread([each.cpu for each in found], ".1f"),
                        spread([each.first[0] for each in found], ".1f"),
                        spread([max(each.first) for each in found], ".1f"),
                    ]
                )
    header = ["", "starts", "ready s", "CPU s", "first answer ms", "slowest ms"]
    return Table("From the start of the process to /readyz, and the first answers", header, rows)


def _chart(title: str, unit: str, starts: Sequence[Start], values: Mapping[Start, float], most: float) -> Chart:
    def draw(axes: Axes) -> None:
        for topology in dict.fromkeys(each.topology for each in starts):
            found = [each for each in starts if each.topology == topology]
            axes.plot([each.number for each in found], finite(values[each] for each in found), "o-", label=topology)
        limit(axes, "limit of a warm start", most)

    return chart(title, draw, xlabel="start (0: cold)", ylabel=unit, ylim=(0, None))
