"""The report of `python -m loadtests.batching`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from loadtests.batching_figures import ADAPTIVE, Run, of, ratios
from loadtests.report.value import Chart, Line, Report, Rule, Table
from loadtests.report.words import broken, held, spread
from loadtests.slo import Verdict


def of_batching(runs: Sequence[Run], verdict: Verdict, byline: str) -> Report:
    """The pace that adapts beside every fixed window."""
    told = broken(verdict.lines)
    charts = [
        _chart(runs, "CPU of a request over the whole load", lambda run: run.cpu_ms),
        _chart(runs, "99 % of the whole load were answered within", lambda run: run.p99),
        _chart(runs, "Half of the requests were answered within, at the least load", lambda run: run.alone),
    ]
    return Report(
        "Batches that adapt",
        byline,
        f"It did not hold: {told}." if told else "The best fixed window is at most 5 % better, in time and in CPU.",
        verdict.held,
        [
            table(runs),
            held("Adaptive as times the fixed window with the least p99, median of the passes", verdict.lines),
            *charts,
        ],
    )


def table(runs: Sequence[Run]) -> Table:
    """Least and most of the passes of each setting; adaptive's CPU and p99 as times its own, pass by pass."""
    pieces = runs[0].point.shape.pieces
    rows = []
    for name in dict.fromkeys(run.name for run in runs):
        mine = of(runs, name)
        row = [name, spread([run.cpu_ms for run in mine], ".2f"), spread([run.p99 for run in mine], ".0f")]
        for place in range(len(pieces)):
            halves, most = ([run.step(place, share) for run in mine] for share in (0.5, 0.99))
            row.append(f"{spread(halves, '.0f')} / {spread(most, '.0f')}")
        row.append(f"{100 * min(run.point.whole for run in mine):.1f}")
        late = sum(run.point.tally.generator_late for run in mine)
        if name == ADAPTIVE:
            row += ["", ""]
        else:
            row += [spread(ratios(runs, name, value), ".2f") for value in (lambda run: run.cpu_ms, lambda run: run.p99)]
        rows.append([*row, f"{late} of {len(mine)}" if late else ""])
    header = ["", "CPU ms", "p99 ms", *(f"{rate:g}/s: p50 / p99" for _, rate in pieces), "least whole %"]
    title = "By setting: CPU a request, times, whole slates, and adaptive as times of it"
    return Table(title, [*header, "x CPU", "x p99", "generator late"], rows)


def _chart(runs: Sequence[Run], title: str, value: Callable[[Run], float]) -> Chart:
    """Over the windows, with what the adaptive pace took as a line across."""
    names = [name for name in dict.fromkeys(run.name for run in runs) if name != ADAPTIVE]
    seen = {float(name.split()[1]): [value(run) for run in of(runs, name)] for name in names}
    middle = [(window, statistics.median(values)) for window, values in sorted(seen.items())]
    ends = [(min(values), max(values)) for _, values in sorted(seen.items())]
    ours = statistics.median(value(run) for run in of(runs, ADAPTIVE))
    rule = Rule(f"adaptive: {ours:.3g} ms", ours, kind="good")
    return Chart(title, "fixed window, ms", "ms", [Line("fixed", "first", middle, ends, dots=True)], rules=[rule])
