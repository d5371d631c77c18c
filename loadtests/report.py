"""HTML report of a load test, made from the figures in load.json: the verdict, tables and charts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from loadtests.arrivals import Shape
from loadtests.histogram import Histogram
from loadtests.slo import Line, broken, judged
from loadtests.tally import ANSWERED, MOST_LAG_MS, Outcome, Tally
from training.report.charts import BAD, COLOURS, SOFT, Chart, chart, finite, limit
from training.report.page import Report, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 120
"""Intervals of time in a chart, at most. Each is a whole number of seconds."""

PER_DECADE = 25
"""Bars of a distribution from one millisecond to ten."""

PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}
LIMITED = {"p50 ms": "--", "p99 ms": ":"}
"""Limits that the charts of response times show, and how they are drawn."""

_COLOURS = {Outcome.WHOLE: COLOURS[0], Outcome.DEGRADED: COLOURS[1], Outcome.REJECTED: SOFT, Outcome.FAILED: BAD}


def load_report(run: Mapping[str, Any]) -> Report:
    """The report of a run. run: load.json."""
    tally, asked = Tally.from_json(run), run["asked"]
    shape = Shape(asked["shape"], tuple((seconds, rate) for seconds, rate in asked["pieces"]))
    limits = {line["name"]: line["limit"] for line in run["lines"]}
    return Report(
        "Load test",
        f"{asked['shape']} over {shape.seconds:g} s, {asked['rate']:g} requests a second, {asked['door']}, "
        f"{asked['k']} items each, seed {asked['seed']}, {asked['host']}",
        sentence(run),
        bool(run["held"]) and not run["failed_clicks"] and not run["generator_late"],
        [
            judged(f"Against {run['against']}", _lines(run)),
            over_time(tally, limits),
            throughput(tally, shape),
            _distribution(tally.of(*ANSWERED), limits),
            _lag(tally.lag),
            *failures(tally),
        ],
    )


def sentence(run: Mapping[str, Any]) -> str:
    """The verdict, with the lines that did not hold."""
    if not run["requests"]:
        return "No request was counted: nothing held."
    if run["generator_late"]:
        return Tally.from_json(run).lateness
    if failed := broken(_lines(run)):
        return f"{run['against']} did not hold: {failed}."
    times = Tally.from_json(run).of(*ANSWERED)
    return (
        f"{run['against']} held: of {run['requests']:,} requests for slates half were answered within "
        f"{times.percentile(0.5):.0f} ms and 99 % within {times.percentile(0.99):.0f} ms."
    )


def _lines(run: Mapping[str, Any]) -> list[Line]:
    """The limits, and failed clicks where there are some."""
    lines = [Line(line["name"], line["limit"], _measured(line["measured"])) for line in run["lines"]]
    return lines + [Line("failed clicks", 0, run["failed_clicks"])] * bool(run["failed_clicks"])


def _measured(value: float | None) -> float:
    """A time of nothing is null in the file."""
    return math.inf if value is None else value


def over_time(tally: Tally, limits: Mapping[str, float]) -> Chart:
    """Percentiles of the answered requests over time. limits: by name."""
    step = _step(tally.seconds)
    starts = range(0, tally.seconds, step)
    times = [tally.of(*ANSWERED, first=start, end=start + step) for start in starts]

    def draw(axes: Axes) -> None:
        for name, share in PERCENTILES.items():
            values = finite(part.percentile(share) for part in times)
            axes.plot([start + step / 2 for start in starts], values, label=name)
        _limits(axes, limits, "y")

    title = f"Response time, of each {'second' if step == 1 else f'{step} seconds'}"
    return chart(title, draw, xlabel="seconds from the start", ylabel="ms", yscale="log")


def throughput(tally: Tally, shape: Shape) -> Chart:
    """Requests a second by outcome, and the rate that the shape offers."""
    step = _step(max(tally.seconds, math.ceil(shape.seconds)))
    edges = [*range(0, tally.seconds, step), tally.seconds]

    def draw(axes: Axes) -> None:
        foot = [0.0] * (len(edges) - 1)
        for outcome, colour in _COLOURS.items():
            if tally.count(outcome):
                counts = [len(tally.of(outcome, first=a, end=a + step)) / step for a in edges[:-1]]
                top = [below + count for below, count in zip(foot, counts, strict=True)]
                axes.stairs(top, edges, baseline=foot, fill=True, color=colour, label=outcome.value)
                foot = top
        corners, start = [], 0.0
        for seconds, rate in shape.pieces:
            corners += [(start, rate), (start + seconds, rate)]
            start += seconds
        axes.plot(*zip(*corners, strict=True), "--", color=COLOURS[3], label="offered, on average")

    title = "Requests a second, by outcome and by the moment they were due"
    return chart(title, draw, xlabel="seconds from the start", ylabel="a second")


def failures(tally: Tally) -> list[Table]:
    """A table of what failed, or none."""
    rows = [[word, f"{count:,}"] for word, count in sorted(tally.words.items(), key=lambda each: -each[1])]
    return [Table("Failures", ["", "requests"], rows)] if rows else []


def _distribution(times: Histogram, limits: Mapping[str, float]) -> Chart:
    def draw(axes: Axes) -> None:
        _bars(axes, times, COLOURS[0])
        for name, colour in (("p50", COLOURS[0]), ("p99", COLOURS[2])):
            value = times.percentile(PERCENTILES[name])
            limit(axes, f"{name} {value:.1f} ms", value, "x", colour)
        _limits(axes, limits, "x")

    return chart("Distribution of response times", draw, xlabel="ms", ylabel="% of the answers", xscale="log")


def _lag(lag: Histogram) -> Chart:
    def draw(axes: Axes) -> None:
        _bars(axes, lag, SOFT)
        p99 = lag.percentile(0.99)
        limit(axes, f"p99 {p99:.2f} ms", p99, "x", COLOURS[2])
        limit(axes, f"limit of p99: {MOST_LAG_MS:g} ms", MOST_LAG_MS, "x")

    return chart("How late the generator sent", draw, xlabel="ms", ylabel="% of the requests", xscale="log")


def _bars(axes: Axes, times: Histogram, colour: str) -> None:
    if bars := times.bars(PER_DECADE):
        edges = [bars[0][0], *(high for _, high, _ in bars)]
        axes.stairs([100 * count / len(times) for *_, count in bars], edges, fill=True, color=colour)


def _limits(axes: Axes, limits: Mapping[str, float], along: str) -> None:
    for name, style in LIMITED.items():
        if name in limits:
            limit(axes, f"limit of {name[:3]}: {limits[name]:g} ms", limits[name], along, style=style)


def _step(seconds: int) -> int:
    return max(1, math.ceil(seconds / BINS))
