"""Draw the charts of an HTML report with Matplotlib, as SVG images that the page contains."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0b6e75", "#b5762a", "#6a4c93", "#3f6fb0", "#7d7d33", "#9b4d6d", "#8d8980")
"""Of lines and bars, in order."""

BAD, SOFT = "#b3261e", "#8d8980"
WIDE, NARROW = (7.4, 2.9), (4.2, 2.2)
"""Inches: of a chart as wide as the page, and of one of two side by side."""

_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: a chart takes 10 kB in place of 40
    "svg.hashsalt": "tandem",  # the same figures give the same bytes
    "text.parse_math": False,  # a dollar sign is a dollar sign
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "legend.fontsize": 8,
    "legend.frameon": False,
}
_NO_METADATA: Any = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Chart:
    """A picture with its title; the title is the page's text. source: a data URL."""

    title: str
    source: str


def chart(
    title: str, draw: Callable[[Axes], object], size: tuple[float, float] = WIDE, legend: bool = True, **axes: Any
) -> Chart:
    """The chart that `draw` makes on a pair of axes. axes: properties of the axes, such as xlabel and yscale."""
    from cycler import cycler  # Matplotlib takes a second to import; a load generator imports it at its end
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    with rc_context(_STYLE | {"axes.prop_cycle": cycler(color=COLOURS)}):
        figure = Figure(figsize=size)
        plot = figure.add_subplot()
        draw(plot)
        plot.set(**axes)
        for axis in (plot.xaxis, plot.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter("{x:,.10g}")
                axis.set_minor_formatter("")
        if legend and plot.get_legend_handles_labels()[1]:
            figure.legend(loc="outside right upper")
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata=_NO_METADATA)
    return Chart(title, f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}")


def limit(axes: Axes, label: str, value: float, along: str = "y", colour: str = BAD, style: str = ":") -> None:
    """Draw a line across the chart at a finite value. along: the axis of the value."""
    if math.isfinite(value):
        line = axes.axhline if along == "y" else axes.axvline
        line(value, color=colour, linestyle=style, linewidth=1.2, label=label)


def finite(values: Iterable[float]) -> list[float]:
    """Values with nan for each that is not finite: a line has a gap there."""
    return [value if math.isfinite(value) else math.nan for value in values]
