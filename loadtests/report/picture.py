"""The charts of a report as one PNG, for where no page can be shown."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

from loadtests.report.value import COLOURS, Chart, Report

COLUMNS = 2
_SIZE = (7.0, 3.2)
"""Inches of one chart."""


def picture(report: Report, path: Path) -> None:
    """Draw it; a report without charts is its sentence."""
    from matplotlib.figure import Figure  # a second and a hundred modules, only where a picture is drawn

    charts = report.charts
    rows = max(1, math.ceil(len(charts) / COLUMNS))
    columns = min(COLUMNS, max(1, len(charts)))
    figure = Figure(figsize=(_SIZE[0] * columns, _SIZE[1] * rows + 1.0), layout="constrained")
    words = textwrap.fill(report.sentence, 75 * columns)
    colour = COLOURS["bad"][0] if report.good is False else "black"
    figure.suptitle(f"{report.title}\n{words}", fontsize=11, color=colour)
    for place, chart in enumerate(charts, 1):
        _draw(figure.add_subplot(rows, columns, place), chart)
    figure.savefig(path, dpi=110, format="png")


def _draw(axes: Any, chart: Chart) -> None:
    labelled = set()
    for part, left, right, foot, top in chart.stacked():
        label = None if part.label in labelled else part.label
        labelled.add(part.label)
        colour = COLOURS[part.kind][0]
        axes.bar(left, top - foot, right - left, foot, align="edge", color=colour, label=label, linewidth=0)
    for line in chart.lines:
        style: dict[str, Any] = {"color": COLOURS[line.kind][0], "linewidth": 1.3}
        for piece in line.pieces():
            label = None if line.label in labelled else line.label
            labelled.add(line.label)
            marker = "o" if line.dots or not line.joined or len(piece) == 1 else None
            dashes = ("--" if line.dashed else "-") if line.joined else "none"
            axes.plot(*zip(*piece, strict=True), linestyle=dashes, marker=marker, markersize=4, label=label, **style)
        for (x, _), (low, high) in zip(line.points, line.spread, strict=False):
            axes.vlines(x, low, high, **style)
    for rule in chart.rules:
        if math.isfinite(rule.value):
            draw = axes.axvline if rule.axis == "x" else axes.axhline
            draw(rule.value, color=COLOURS[rule.kind][0], linestyle=":", linewidth=1.2, label=rule.label)
    for axis, scale in ((axes.xaxis, chart.x), (axes.yaxis, chart.y)):
        axis.axes.set(**{f"{axis.axis_name}scale": "log" if scale.log else "linear"})
        axis.axes.set(**{f"{axis.axis_name}lim": (scale.low, scale.high)})
        axis.set_ticks(scale.ticks, [f"{tick:,.10g}" for tick in scale.ticks])
        axis.set_ticks([], minor=True)
    axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
