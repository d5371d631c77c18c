"""Reports of `python -m loadtests.bench`: servers at given request rates, the highest rate of each, and overload."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from loadtests.bench.figures import cpu_ratios, held, spread
from loadtests.bench.overload import TIMES, Overload
from loadtests.bench.point import Point
from loadtests.tally import ANSWERED
from training.report.charts import Chart, chart, finite, limit
from training.report.page import Report, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rates_report(
    points: Sequence[Point], peers: Sequence[str], rates: Sequence[float], p99_ms: float, byline: str
) -> Report:
    """Every peer at every rate."""

    def over_rates(title: str, value: Callable[[Point], float], p99: float = inf, yscale: str = "log") -> Chart:
        def draw(axes: Axes) -> None:
            for name in peers:
                found = {rate: [value(p) for p in points if p.peer == name and p.rate == rate] for rate in rates}
                _over_passes(axes, name, found)
            limit(axes, f"limit of p99: {p99:g} ms", p99)

        return chart(title, draw, xlabel="requests a second", ylabel="ms", yscale=yscale)

    cpu = "CPU of a request: median, least and most of the passes"
    return Report(
        "The deployment beside its peers",
        byline,
        _cheapest(points, peers, rates, p99_ms),
        None,
        [
            costs(points, peers, rates, p99_ms),
            over_rates(cpu, lambda point: point.cpu_ms, yscale="linear"),
            over_rates("p50 of the response times", lambda point: point.percentile(0.5)),
            over_rates("p99 of the response times", lambda point: point.percentile(0.99), p99_ms),
        ],
    )


def costs(points: Sequence[Point], peers: Sequence[str], rates: Sequence[float], p99_ms: float) -> Table:
    """CPU of each peer at each rate, least and most of the passes that held; and how many times the first peer's."""
    rows = []
    for name in peers:
        cells = []
        for rate in rates:
            passed = held(points, name, rate, p99_ms)
            passes = sum(point.peer == name and point.rate == rate for point in points)
            if not passed:
                cells.append("did not hold")
                continue
            cell = spread([point.cpu_ms for point in passed.values()], ".2f")
            if ratios := cpu_ratios(points, peers[0], name, rate, p99_ms):
                cell += f" x{spread(ratios, '.2f')}"
            cells.append(cell if len(passed) == passes else f"{cell} ({len(passed)} of {passes} held)")
        rows.append([name, *cells])
    return Table(f"CPU ms a request, and x of {peers[0]}", ["", *(f"{rate:g}/s" for rate in rates)], rows)


def knees_report(knees: Mapping[str, Sequence[float]], points: Sequence[Point], p99_ms: float, byline: str) -> Report:
    """The highest rate that holds, of every peer in every pass, and all the probes."""
    first, *others = knees
    sentence = f"{first} holds {spread(knees[first], '.0f')} requests a second with p99 below {p99_ms:g} ms"
    sentence += "".join(f", {name} {spread(knees[name], '.0f')}" for name in others)

    def draw(axes: Axes) -> None:
        for name in knees:
            probes = [point for point in points if point.peer == name]
            axes.plot([p.rate for p in probes], finite(p.percentile(0.99) for p in probes), "o", label=name)
        limit(axes, f"limit of p99: {p99_ms:g} ms", p99_ms)

    probes = chart("p99 in every probe", draw, xlabel="requests a second", ylabel="ms", yscale="log")
    return Report("The highest rates that hold", byline, f"{sentence}.", None, [_knee_table(knees, points), probes])


def _knee_table(knees: Mapping[str, Sequence[float]], points: Sequence[Point]) -> Table:
    """Least and most of the passes; * where the generator was late at the next rate. A ratio is of one pass."""
    name_of_first, first = next(iter(knees.items()))
    rows = []
    for name, found in knees.items():
        ratios = [ours / theirs for ours, theirs in zip(first, found, strict=False) if theirs]
        star = "*" if any(_ended_late(points, name, number, rate) for number, rate in enumerate(found)) else ""
        rows.append([name, spread(found, ".0f") + star, f"x{spread(ratios, '.2f')}" if ratios else "did not hold"])
    note = "* The generator was late at the next rate: the server may hold more."
    return Table("Highest rate that holds, a second", ["", "rate", f"{name_of_first} holds"], rows, note)


def _ended_late(points: Sequence[Point], name: str, number: int, knee: float) -> bool:
    """Whether the generator was late at the lowest rate above a peer's knee, which ended the search of a pass."""
    above = [each for each in points if (each.peer, each.number) == (name, number) and each.rate > knee]
    return bool(above) and min(above, key=lambda each: each.rate).tally.generator_late


def overload_report(found: Sequence[Overload], surges: Sequence[Point], p99_ms: float, byline: str) -> Report:
    """Every peer beyond its knee."""
    last = {each.peer: each for each in found}
    surge = {point.peer: point for point in surges}
    shares = ", ".join(f"{name} {each.share(TIMES[-1]):.0%}" for name, each in last.items())

    def goodput(axes: Axes) -> None:
        for name, each in last.items():
            axes.plot([each.offered[n] for n in TIMES], [each.goodput[n] for n in TIMES], "o-", label=name)

    def times(axes: Axes) -> None:
        for name, point in surge.items():
            seconds = range(point.tally.seconds)
            parts = [point.tally.of(*ANSWERED, first=second, end=second + 1) for second in seconds]
            axes.plot([s + 0.5 for s in seconds], finite(part.percentile(0.99) for part in parts), label=name)
        limit(axes, f"limit of p99: {p99_ms:g} ms", p99_ms)

    title = f"p99 around a surge of {TIMES[-1]} times the knee"
    return Report(
        "Beyond the knee",
        byline,
        f"Goodput at {TIMES[-1]} times the knee, of the peak: {shares}.",
        None,
        [
            _overload_table(found),
            chart("Whole answers in time, a second", goodput, xlabel="offered, a second"),
            chart(title, times, xlabel="seconds", ylabel="ms", yscale="log"),
        ],
    )


def _overload_table(found: Sequence[Overload]) -> Table:
    """A row for each peer and pass; * where the generator was late."""
    rows = []
    for each in found:
        shares = [f"{each.share(times):.0%}{'*' if f'{times}x' in each.late else ''}" for times in TIMES]
        p99s = [f"{each.p99_ms[times]:,.0f}" for times in TIMES]
        cost = "-" if each.rejection is None else f"{each.rejection:.1%}"
        back = "never" if each.recovery == inf else f"{each.recovery:.0f} s"
        back += "*" if "surge" in each.late else ""
        rows.append([each.peer, f"{each.knee:.0f}/s", f"{each.peak:.0f}/s", *shares, *p99s, cost, back])
    header = ["", "knee", "peak", *(f"{times}x" for times in TIMES), *(f"p99 {times}x" for times in TIMES)]
    title = "Goodput of the peak and p99 (ms) by times the knee, CPU of a rejection, recovery"
    return Table(title, [*header, "rejection", "back in"], rows, "* The generator was late.")


def _cheapest(points: Sequence[Point], peers: Sequence[str], rates: Sequence[float], p99_ms: float) -> str:
    """CPU at the highest rate that the first peer held."""
    first, *others = peers
    for rate in sorted(rates, reverse=True):
        if passed := held(points, first, rate, p99_ms):
            cost = spread([point.cpu_ms for point in passed.values()], ".2f")
            sentence = f"At {rate:g} requests a second {first} takes {cost} ms of CPU"
            for name in others:
                ratios = cpu_ratios(points, first, name, rate, p99_ms)
                sentence += f", {name} x{spread(ratios, '.2f')}" if ratios else f", {name} did not hold"
            return f"{sentence}."
    return f"{first} held none of these rates."


def _over_passes(axes: Axes, label: str, passes: Mapping[float, Sequence[float]]) -> None:
    """Draw the median of the passes at each x, with a bar from the least to the most."""
    found = {x: finite(values) for x, values in passes.items() if values}
    middle = [statistics.median(values) for values in found.values()]
    below = [m - min(values) for m, values in zip(middle, found.values(), strict=True)]
    above = [max(values) - m for m, values in zip(middle, found.values(), strict=True)]
    axes.errorbar([*found], middle, yerr=[below, above], fmt="o-", label=label)
