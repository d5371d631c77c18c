"""The report of `python -m loadtests.bench.start`."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.report.value import KINDS, Chart, Line, Report, Rule, Table
from loadtests.report.words import broken, held, spread
from loadtests.slo import Verdict
from loadtests.bench.start_figures import FIRST_MS, READY_SECONDS, Start


def of_start(starts: Sequence[Start], verdict: Verdict, byline: str) -> Report:
    """Cold starts apart from warm starts."""
    topologies = [*dict.fromkeys(each.topology for each in starts)]
    told = broken(verdict.lines)
    ready, first = [], []
    for topology, kind in zip(topologies, KINDS, strict=False):
        mine = [each for each in starts if each.topology == topology]
        ready.append(Line(topology, kind, [(each.number, each.ready) for each in mine], dots=True))
        first.append(Line(topology, kind, [(each.number, max(each.first)) for each in mine], dots=True))
    return Report(
        "Starts of the deployment",
        byline,
        f"It did not hold: {told}." if told else "The warm starts were ready in time, and their first answers fast.",
        verdict.held,
        [
            table(starts),
            held("The warm starts of each", verdict.lines),
            Chart("Ready after", "start (0: cold)", "s", ready, rules=[Rule("limit when warm", READY_SECONDS)]),
            Chart("Slowest of the first answers", "start (0: cold)", "ms", first, rules=[Rule("limit", FIRST_MS)]),
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
    header = ["", "starts", "ready s", "CPU s", "first answer ms", "slowest ms"]
    return Table("From the start of the process to /readyz, and the first answers", header, rows)


def _cells(mine: Sequence[Start]) -> list[str]:
    return [
        spread([each.ready for each in mine], ".1f"),
        spread([each.cpu for each in mine], ".1f"),
        spread([each.first[0] for each in mine], ".1f"),
        spread([max(each.first) for each in mine], ".1f"),
    ]
