"""The report of `python -m loadtests.bench.growth`: times, rates and memory by the size of the catalogue."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from loadtests.bench.growth_figures import Cell, Key, by_key
from loadtests.bench.point import LEAST_WHOLE
from loadtests.report.value import KINDS, Chart, Line, Report, Rule, Table
from loadtests.report.words import spread


def of_growth(cells: Sequence[Cell], p99_ms: float, byline: str) -> Report:
    """Every catalogue with every number of gateway processes."""
    found = by_key(cells)
    limit = [Rule(f"limit of p99: {p99_ms:g} ms", p99_ms)]
    rate = max(point.rate for cell in cells for point in cell.points)
    p99 = _lines(found, lambda cell: next(p.percentile(0.99) for p in cell.points if p.rate == rate))
    cpu = _lines(found, lambda cell: next(p.cpu_ms for p in cell.points if p.rate == rate))
    charts = [
        Chart(f"99 % were answered within, at {rate:g} a second", "items", "ms", p99, rules=limit, log_x=True),
        Chart(f"CPU of a request, at {rate:g} a second", "items", "ms", cpu, log_x=True),
        Chart("Memory of all processes", "items", "MiB", _lines(found, lambda cell: cell.memory.memory), log_x=True),
    ]
    if all(cell.knee is not None for cell in cells):
        knees = _lines(found, lambda cell: cell.knee or 0.0)
        charts.append(Chart("Highest rate that holds", "items", "requests a second", knees, log_x=True))
    tables = [times_table(found), memory_table(found)]
    return Report("Catalogues that grow", byline, _sentence(found), None, [*tables, *charts])


def times_table(found: Mapping[Key, Sequence[Cell]]) -> Table:
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


def memory_table(found: Mapping[Key, Sequence[Cell]]) -> Table:
    """MiB by role, a shared page shared out among those who map it; least and most of the passes."""
    roles = sorted({role for passes in found.values() for cell in passes for role in cell.memory.pss})
    rows = []
    for (items, workers), passes in found.items():
        by_role = [spread([cell.memory.pss.get(role, 0.0) for cell in passes], ".0f") for role in roles]
        rows.append([f"{items:,}", f"{workers}", spread([cell.memory.memory for cell in passes], ".0f"), *by_role])
    title = "Memory, MiB, without the store: pages shared out among those who map them"
    return Table(title, ["items", "gateways", "all", *roles], rows)


def _lines(found: Mapping[Key, Sequence[Cell]], value: Callable[[Cell], float]) -> list[Line]:
    """One for each number of gateway processes, over the items."""
    lines = []
    for workers, kind in zip(sorted({workers for _, workers in found}), KINDS, strict=False):
        seen = {items: [value(cell) for cell in passes] for (items, n), passes in found.items() if n == workers}
        middle = [(items, statistics.median(values)) for items, values in seen.items()]
        ends = [(min(values), max(values)) for values in seen.values()]
        lines.append(Line(f"{workers} gateway{'s' if workers > 1 else ''}", kind, middle, ends, dots=True))
    return lines


def _sentence(found: Mapping[Key, Sequence[Cell]]) -> str:
    """From the smallest to the largest, with the fewest gateway processes."""
    fewest = min(workers for _, workers in found)
    told = []
    for items in dict.fromkeys((min(items for items, _ in found), max(items for items, _ in found))):
        passes = found[items, fewest]
        last = [cell.points[-1] for cell in passes]
        p99 = spread([point.percentile(0.99) for point in last], ".0f")
        memory = spread([cell.memory.memory for cell in passes], ".0f")
        told.append(f"{items:,} items: p99 {p99} ms at {last[0].rate:g} a second, {memory} MiB")
    return f"With {fewest} gateway process{'es' if fewest > 1 else ''}, {'; '.join(told)}."
