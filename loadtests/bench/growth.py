"""The cost of a deployment by the size of its catalogue and its number of gateway processes.

`python -m loadtests.bench.growth [--items 10k,100k,1M] [--workers 1,2] [--rates 50,200] [--passes 2]` runs split over
each catalogue with each number of gateway processes in turns. It measures times and CPU at rates that all should hold,
memory after those, and the highest rate that holds (`--no-knee`: without). A world is made once and kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from loadtests.arrivals import Shape
from loadtests.bench.ending import finish, sentences
from loadtests.bench.figures import cores, machine
from loadtests.bench.knee import knee
from loadtests.bench.peers.servers import Running
from loadtests.bench.peers.turns import Variant, turns
from loadtests.bench.point import Point, loading
from loadtests.bench.reports.growth_report import Cell, growth_report
from loadtests.bench.world import HOME, world
from loadtests.options import items, number, rates, several
from loadtests.processes.memory import sample
from loadtests.slo import RESULTS

STEP = 1.15
"""The precision of a knee, as a factor: a probe takes ten seconds, and catalogues differ by more."""


def main() -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args()
    cells: list[Cell] = []
    with sentences():
        for turn in range(options.passes):
            for count in options.items:
                print(f"{turn + 1}  {count:,} items", flush=True)
                cells += of_catalogue(count, turn, options)
    byline = f"split, {options.passes} passes of {options.seconds:g} s in turns, {cores()}"
    figures = {"machine": machine(), "cells": [each.to_json() for each in cells]}
    finish(growth_report(cells, options.p99_limit, byline), figures, RESULTS / "growth.json")
    return 0


def of_catalogue(count: int, turn: int, options: argparse.Namespace) -> list[Cell]:
    """One pass over so many items, with each number of gateway processes."""
    variants = {f"{count:,} x {n}": n for n in options.workers}
    peers = [Variant(name, "split", {"TANDEM_GATEWAY_WORKERS": str(n)}) for name, n in variants.items()]
    found = []
    with world(count, HOME) as place, loading(place) as loader:
        for _, name, peer in turns(place, peers, 1):

            def load(rate: float, peer: Running = peer, name: str = name) -> Point:
                return loader.load(peer, name, Shape("steady", ((options.seconds, rate),)), turn)

            found.append(cell(count, variants[name], turn, peer, load, options))
            print(found[-1].line(), flush=True)
    return found


def cell(
    count: int, workers: int, turn: int, peer: Running, load: Callable[[float], Point], options: argparse.Namespace
) -> Cell:
    """All measurements of one deployment."""
    points = [load(rate) for rate in options.rates]
    memory = sample(peer.pid, int(peer.url.rpartition(":")[2]), 0.0)
    highest = None
    if options.knee:
        highest = knee(lambda rate: load(rate).held(options.p99_limit), options.start, STEP)
    return Cell(count, workers, turn, points, memory, highest)


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(prog="python -m loadtests.bench.growth", description=__doc__)
    made.add_argument("--items", type=several(items), default=[10_000, 100_000, 1_000_000])
    made.add_argument("--workers", type=several(number(int, 1, 64)), default=[1, 2], help="processes of the gateway")
    made.add_argument("--rates", type=rates, default=[50, 200], help="requests a second")
    made.add_argument("--passes", type=number(int, 1, 100), default=2)
    made.add_argument("--seconds", type=number(float, 1, 3600), default=8, help="of a load")
    made.add_argument("--p99-limit", type=number(float, 0.1, 1e5), default=50, help="ms; above it a rate is not held")
    made.add_argument("--knee", action=argparse.BooleanOptionalAction, default=True, help="the highest rate that holds")
    made.add_argument("--start", type=number(float, 5, 20_000), default=400, help="requests a second: the first probe")
    return made


if __name__ == "__main__":
    sys.exit(main())
