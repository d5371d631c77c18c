"""Benchmark of the service beside FastAPI and plain BentoML servers: CPU and response times under equal load.

All servers under comparison (peers) use the same generation, which is one trained set of models and tables. The
command first checks that all recommend the same items with the same scores. Each request is sent when it is due,
whether or not earlier ones were answered: Locust's open loop, as in `make load`. Locust takes a third of a millisecond
of CPU for a request and shares the cores with the server. Where it was late, the figures say so.

`python -m loadtests.bench [--peers split,fastapi_monolith] [--rates 400,800] [--passes 3]` (`make bench`) measures CPU
and response times at given rates. `--knee` searches the highest rate that a peer holds. `--overload` sends twice and
five times that rate.

In a pass each peer starts, gets its loads and stops before the next peer starts. With `--together` all peers run all
the time, and loads of different peers are seconds apart. At given rates each pass and rate has one seed: all peers get
requests for the same users at the same moments. A ratio of two peers is of one pass. CPU is that of all processes of
the server, without the store and the generator.

Each other benchmark is a module with a command line of its own: `python -m loadtests.bench.start`, `generations`,
`kernels.search`, `cost_profile`, `lists_under_overload`, `metric_calls`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from loadtests.arrivals import Shape
from loadtests.bench.command_result import error_sentences, finish
from loadtests.bench.figures import cores, cpu_ratio_medians, knee_ratio_medians, machine, rows
from loadtests.bench.knee import knees
from loadtests.bench.overload import GIVE_UP, Overload, overload
from loadtests.bench.peers.schedule import one_by_one, together
from loadtests.bench.peers.servers import PEERS, PeerError, Running
from loadtests.bench.point import Loader, Point, loading
from loadtests.bench.reports.rates import knees_report, overload_report, rates_report
from loadtests.bench.world import HOME, World, world
from loadtests.options import items, number, one_of, several
from loadtests.slo import RESULTS, Slo
from training.report.page import Report


class Bench:
    """Puts loads on all compared servers (peers), which use the same models and store."""

    def __init__(self, place: World, loader: Loader, options: argparse.Namespace) -> None:
        self._place, self._loader, self._options = place, loader, options
        self.points: list[Point] = []

    def scheduled(self, rounds: int = 1) -> Iterator[tuple[int, str, Running]]:
        """Yield number, name and peer; a peer runs until the next one is taken. rounds: loads of a pass if all run."""
        passes, names = self._options.passes, self._options.peers
        if self._options.together:
            return together(self._place, names, passes, rounds)
        return one_by_one(self._place, names, passes)

    def rates(self) -> list[Point]:
        """Every peer at every rate. With --together all peers get one rate before any gets the next."""
        rates: list[tuple[int, float]] = list(enumerate(self._options.rates, 1))
        rounds = [[each] for each in rates] if self._options.together else [rates]
        for turn, name, peer in self.scheduled(len(rounds)):
            number, at = divmod(turn, len(rounds))
            for place, rate in rounds[at]:
                self._load(peer, name, number, self._steady(rate), seed=number * len(rates) + place)
        return self.points

    def knees(self) -> dict[str, list[float]]:
        """The knees of all passes, by peer. With --together the probes of the peers take turns."""
        found: dict[str, list[float]] = {}
        at_once = len(self._options.peers) if self._options.together else 1
        running = self.scheduled()
        while some := list(islice(running, at_once)):  # taking one more would stop these
            holds = {name: partial(self._holds, peer, name, number) for number, name, peer in some}
            for name, rate in knees(holds).items():
                found.setdefault(name, []).append(rate)
        return found

    def overloads(self) -> tuple[list[Overload], list[Point]]:
        """Every peer beyond its knee, and its surges."""
        found, surges = [], []
        options, deadline_ms = self._options, Slo.read().deadline_ms
        for turn, name, peer in self.scheduled():
            at = knees({name: partial(self._holds, peer, name, turn)})[name]
            if not at:
                raise PeerError(f"{name} has no knee: not even a few requests a second hold.")

            def load(shape: Shape, peer: Running = peer, name: str = name, turn: int = turn) -> Point:
                return self._load(peer, name, turn, shape, GIVE_UP)

            one, surge = overload(load, name, turn, at, options.seconds, deadline_ms, options.p99_limit)
            found.append(one)
            surges.append(surge)
        return found, surges

    def _holds(self, peer: Running, name: str, number: int, rate: float) -> bool:
        return self._load(peer, name, number, self._steady(rate)).held(self._options.p99_limit)

    def _load(
        self, peer: Running, name: str, number: int, shape: Shape, give_up: float = 10.0, seed: int | None = None
    ) -> Point:
        self.points.append(self._loader.load(peer, name, shape, number, give_up, seed))
        return self.points[-1]

    def _steady(self, rate: float) -> Shape:
        return Shape("steady", ((self._options.seconds, rate),))


def measured(bench: Bench, options: argparse.Namespace, byline: str) -> tuple[str, Report, dict[str, Any]]:
    """The file name, the report and the figures of the measurement that the options choose."""
    if options.knee:
        knees = bench.knees()
        report = knees_report(knees, bench.points, options.p99_limit, byline)
        return "bench-knee.json", report, {"knees": knees, "ratios": knee_ratio_medians(knees)}
    if options.overload:
        found, surges = bench.overloads()
        report = overload_report(found, surges, options.p99_limit, byline)
        return "bench-overload.json", report, {"overload": [each.to_json() for each in found]}
    points = bench.rates()
    report = rates_report(points, options.peers, options.rates, options.p99_limit, byline)
    return "bench.json", report, {"ratios": cpu_ratio_medians(points, options.peers, options.rates, options.p99_limit)}


def parser(description: str | None) -> argparse.ArgumentParser:
    """The command line. description: what the command does."""
    made = argparse.ArgumentParser(prog="python -m loadtests.bench", description=description)
    made.add_argument("--items", type=items, default=100_000)
    made.add_argument(
        "--peers", type=several(one_of(PEERS)), default=[*PEERS], help=f"of {', '.join(PEERS)}; ratios are to the first"
    )
    made.add_argument(
        "--rates", type=several(number(float, 0.1, 1e5)), default=[100, 400, 800], help="requests a second"
    )
    made.add_argument("--passes", type=number(int, 1, 100), default=3)
    made.add_argument("--seconds", type=number(float, 1, 3600), default=15, help="of a load")
    made.add_argument("--p99-limit", type=number(float, 0.1, 1e5), default=50, help="ms; above it a rate is not held")
    made.add_argument("--together", action="store_true", help="all peers run all the time and get loads in turns")
    mode = made.add_mutually_exclusive_group()
    mode.add_argument("--knee", action="store_true", help="search the highest rate that holds, instead")
    mode.add_argument("--overload", action="store_true", help="send twice and five times the knee, instead")
    return made


def main() -> None:
    """Run the command line."""
    options = parser(__doc__).parse_args()
    with error_sentences(), world(options.items, HOME) as place, loading(place) as loader:
        bench = Bench(place, loader, options)
        how = "in turns, all running" if options.together else "in turns"
        byline = f"{options.items:,} items, {options.passes} passes of {options.seconds:g} s {how}, {cores()}"
        name, report, figures = measured(bench, options, byline)
    steady = [point for point in bench.points if len(point.shape.pieces) == 1]
    figures |= {"machine": machine(), "items": options.items, "rows": rows(steady, options.p99_limit)}
    finish(report, figures | {"points": [point.to_json() for point in bench.points]}, RESULTS / name)


if __name__ == "__main__":
    main()
