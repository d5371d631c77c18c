"""The report of `python -m loadtests.bench.breakdown`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from loadtests.bench.breakdown_figures import Part
from loadtests.bench.point import LEAST_WHOLE
from loadtests.report.value import KINDS, Bars, Chart, Report, Table
from loadtests.report.words import spread

WIDTH = 0.8
"""Of a bar: one a rate."""


def of_breakdown(parts: Sequence[Part], byline: str) -> Report:
    """By rate, a bar of what each process has, and one of the kernels beside it."""
    rates = sorted({part.point.rate for part in parts})
    found = [[part for part in parts if part.point.rate == rate] for rate in rates]
    last = found[-1]
    kernels, whole = (statistics.median(each) for each in ([p.kernels for p in last], [p.point.cpu_ms for p in last]))
    sentence = (
        f"At {rates[-1]:g} a second a request takes {whole:.2f} ms of CPU, and its kernels by themselves "
        f"{kernels:.2f}, {kernels / whole:.0%}."
    )
    return Report("Where the CPU of a request goes", byline, sentence, None, [table(found), *_charts(found)])


def table(found: Sequence[Sequence[Part]]) -> Table:
    """Least and most of the passes at each rate."""
    roles = _roles(found)
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
    return Table("CPU of a request by process, and of its kernels by themselves, ms", header, rows)


def _charts(found: Sequence[Sequence[Part]]) -> list[Chart]:
    """One for each rate: bars of everything and of the floor side by side."""
    charts = []
    for parts in found:
        names = [(f"{role}", [part.roles.get(role, 0.0) for part in parts], 0.0) for role in _roles(found)]
        names += [
            ("kernels of retrieval", [part.floor.retrieval for part in parts], 1.0),
            ("kernels of ranking", [part.floor.ranking for part in parts], 1.0),
        ]
        bars = []
        for (name, values, at), kind in zip(names, KINDS, strict=False):
            heights = [0.0, 0.0]
            heights[int(at)] = statistics.median(values)
            places = [(place, place + WIDTH, height) for place, height in enumerate(heights)]
            bars.append(Bars(name, kind, places))
        title = f"CPU of a request at {parts[0].point.rate:g} a second"
        charts.append(Chart(title, "its processes, and beside them its kernels by themselves", "ms", bars=bars))
    return charts


def _roles(found: Sequence[Sequence[Part]]) -> list[str]:
    return sorted({role for parts in found for part in parts for role in part.roles})
