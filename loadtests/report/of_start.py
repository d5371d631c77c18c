"""The report of `python -m loadtests.start`."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.report.value import KINDS, Chart, Line, Report, Rule, Table
from loadtests.report.words import broken, held, spread
from loadtests.slo import Verdict
from loadtests.start_figures import FIRST_TIMES, READY_SECONDS, Start


def of_start(starts: Sequence[Start], verdict: Verdict, byline: str) -> Report:
    """Cold starts apart from warm ones."""
    topologies = [*dict.fromkeys(each.topology for each in starts)]
    told = broken(verdict.lines)
    ready, times = [], []
    for topology, kind in zip(topologies, KINDS, strict=False):
        mine = [each for each in starts if each.topology == topology]
        ready.append(Line(topology, kind, [(each.number, each.ready) for each in mine], dots=True))
        times.append(Line(topology, kind, [(each.number, each.times) for each in mine], dots=True))
    return Report(
        "Starts of the deployment",
        byline,
        f"It did not hold: {told}." if told else "Every warm start was ready in time, and its first request was quick.",
        verdict.held,
        [
            table(starts),
            held("The worst warm start of each", verdict.lines),
            Chart("Ready after", "start (0: cold)", "s", ready, rules=[Rule("limit when warm", READY_SECONDS)]),
            Chart(
                "The first request, of the steady p99",
                "start (0: cold)",
                "times",
                times,
                rules=[Rule("limit", FIRST_TIMES)],
            ),
        ],
    )


def table(starts: Sequence[Start]) -> Table:
    """Least and most of the starts, cold and warm."""
    rows = []
    for topology in dict.fromkeys(each.topology for each in starts):
        for warm in (False, True):
            mine = [each for each in starts if each.topology == topology and each.warm == warm]
            if mine:
                rows.append([f"{topology}, {'warm' if warm else 'cold'}", f"{len(mine)}", *_cells(mine)])
    header = ["", "starts", "ready s", "CPU s", "first ms", "slowest of the next", "p50 ms", "p99 ms", "first of p99"]
    return Table("From the start of the process to /readyz; the first requests; a steady load", header, rows)


def _cells(mine: Sequence[Start]) -> list[str]:
    return [
        spread([each.ready for each in mine], ".1f"),
        spread([each.cpu for each in mine], ".1f"),
        spread([each.first for each in mine], ".1f"),
        spread([each.later for each in mine], ".1f"),
        spread([each.point.percentile(0.5) for each in mine], ".1f"),
        spread([each.p99 for each in mine], ".1f"),
        spread([each.times for each in mine], ".2f"),
    ]
