"""The reports of `python -m loadtests.bench`: rates side by side, knees, overload."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from math import inf

from loadtests.bench.overload import TIMES, Overload
from loadtests.bench.point import Point
from loadtests.report.value import KINDS, Chart, Line, Report, Rule, Table
from loadtests.report.words import spread
from loadtests.tally import ANSWERED


def of_bench(
    points: Sequence[Point], peers: Sequence[str], rates: Sequence[float], p99_ms: float, byline: str
) -> Report:
    """Every peer at every rate."""
    limit = [Rule(f"limit of p99: {p99_ms:g} ms", p99_ms)]
    cpu = _by_rate(points, peers, rates, lambda point: point.cpu_ms)
    half = _by_rate(points, peers, rates, lambda point: point.percentile(0.5))
    most = _by_rate(points, peers, rates, lambda point: point.percentile(0.99))
    return Report(
        "The deployment beside its peers",
        byline,
        _cheapest(points, peers, rates, p99_ms),
        None,
        [
            costs(points, peers, rates, p99_ms),
            Chart("CPU of a request, least, median and most of the passes", "requests a second", "ms", cpu),
            Chart("Half of the requests were answered within", "requests a second", "ms", half, log_y=True),
            Chart("99 % were answered within", "requests a second", "ms", most, rules=limit, log_y=True),
        ],
    )


def costs(points: Sequence[Point], peers: Sequence[str], rates: Sequence[float], p99_ms: float) -> Table:
    """CPU of each peer at each rate, least and most of the passes that held; and how many times the first peer's."""
    rows = []
    for name in peers:
        cells = []
        for rate in rates:
            mine = _held(points, name, rate, p99_ms)
            asked = sum(point.peer == name and point.rate == rate for point in points)
            if not mine:
                cells.append("did not hold")
                continue
            cell = spread([point.cpu_ms for point in mine.values()], ".2f")
            if ratios := cpu_ratios(points, peers[0], name, rate, p99_ms):
                cell += f" x{spread(ratios, '.2f')}"
            cells.append(cell if len(mine) == asked else f"{cell} ({len(mine)} of {asked} held)")
        rows.append([name, *cells])
    return Table(f"CPU ms a request, and x of {peers[0]}", ["", *(f"{rate:g}/s" for rate in rates)], rows)


def cpu_ratios(points: Sequence[Point], first: str, other: str, rate: float, p99_ms: float) -> list[float]:
    """How many times the first peer's CPU another takes, in every pass that both held."""
    ours, theirs = _held(points, first, rate, p99_ms), _held(points, other, rate, p99_ms)
    return [theirs[number].cpu_ms / ours[number].cpu_ms for number in theirs if number in ours]


def of_knees(knees: Mapping[str, Sequence[float]], points: Sequence[Point], p99_ms: float, byline: str) -> Report:
    """The knees of every pass, by peer, and all the probes."""
    first, *others = knees
    told = f"{first} holds {spread(knees[first], '.0f')} requests a second with p99 below {p99_ms:g} ms"
    told += "".join(f", {name} {spread(knees[name], '.0f')}" for name in others)
    lines = [
        Line(name, kind, [(p.rate, p.percentile(0.99)) for p in points if p.peer == name], joined=False)
        for name, kind in zip(knees, KINDS, strict=False)
    ]
    limit = [Rule(f"limit of p99: {p99_ms:g} ms", p99_ms)]
    probes = Chart(
        "99 % were answered within, in every probe", "requests a second", "ms", lines, rules=limit, log_y=True
    )
    return Report("The highest rates that hold", byline, f"{told}.", None, [knee_table(knees), probes])


def knee_table(knees: Mapping[str, Sequence[float]]) -> Table:
    """Least and most of the passes; ratios are of one pass."""
    first = next(iter(knees.values()))
    rows = []
    for name, found in knees.items():
        ratios = [ours / theirs for ours, theirs in zip(first, found, strict=False) if theirs]
        rows.append([name, spread(found, ".0f"), f"x{spread(ratios, '.2f')}" if ratios else "did not hold"])
    return Table("Highest rate that holds, a second", ["", "rate", f"{next(iter(knees))} holds"], rows)


def of_overload(found: Sequence[Overload], surges: Sequence[Point], p99_ms: float, byline: str) -> Report:
    """Every peer beyond its knee."""
    peers = [*dict.fromkeys(each.peer for each in found)]
    last = {each.peer: each for each in found}
    told = ", ".join(f"{name} {last[name].share(TIMES[-1]):.0%}" for name in peers)
    goodput = [
        Line(name, kind, [(last[name].offered[times], last[name].goodput[times]) for times in TIMES], dots=True)
        for name, kind in zip(peers, KINDS, strict=False)
    ]
    surge = {point.peer: point for point in surges}
    times = [
        Line(name, kind, [(s + 0.5, _p99(surge[name], s)) for s in range(surge[name].tally.seconds)])
        for name, kind in zip(peers, KINDS, strict=False)
    ]
    limit = [Rule(f"limit of p99: {p99_ms:g} ms", p99_ms)]
    return Report(
        "Beyond the knee",
        byline,
        f"Goodput at {TIMES[-1]} times the knee, of the peak: {told}.",
        None,
        [
            overload_table(found),
            Chart("Whole answers in time, a second", "offered, a second", "", goodput),
            Chart(f"p99 around a surge of {TIMES[-1]} times the knee", "seconds", "ms", times, rules=limit, log_y=True),
        ],
    )


def overload_table(found: Sequence[Overload]) -> Table:
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
    title = (
        "Goodput of the peak and p99 (ms) by times the knee (* the generator was late), CPU of a rejection, recovery"
    )
    return Table(title, [*header, "rejection", "back in"], rows)


def _by_rate(
    points: Sequence[Point], peers: Sequence[str], rates: Sequence[float], value: Callable[[Point], float]
) -> list[Line]:
    lines = []
    for name, kind in zip(peers, KINDS * 3, strict=False):
        seen = {rate: [value(point) for point in points if point.peer == name and point.rate == rate] for rate in rates}
        middle = [(rate, statistics.median(values)) for rate, values in seen.items() if values]
        ends = [(min(values), max(values)) for values in seen.values() if values]
        lines.append(Line(name, kind, middle, ends, dots=True))
    return lines


def _held(points: Sequence[Point], name: str, rate: float, p99_ms: float) -> dict[int, Point]:
    """By pass."""
    return {p.number: p for p in points if p.peer == name and p.rate == rate and p.held(p99_ms)}


def _cheapest(points: Sequence[Point], peers: Sequence[str], rates: Sequence[float], p99_ms: float) -> str:
    """At the highest rate that the first peer held."""
    first, *others = peers
    for rate in sorted(rates, reverse=True):
        if held := _held(points, first, rate, p99_ms):
            cost = spread([point.cpu_ms for point in held.values()], ".2f")
            told = f"At {rate:g} requests a second {first} takes {cost} ms of CPU"
            for name in others:
                ratios = cpu_ratios(points, first, name, rate, p99_ms)
                told += f", {name} x{spread(ratios, '.2f')}" if ratios else f", {name} did not hold"
            return f"{told}."
    return f"{first} held none of these rates."


def _p99(point: Point, second: int) -> float:
    return point.tally.of(*ANSWERED, first=second, end=second + 1).percentile(0.99)
