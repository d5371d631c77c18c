"""The pace that adapts beside fixed ones, on a load that shifts.

`python -m loadtests.batching [--windows 2,5,10,15,25] [--rates 20,400,1000,60] [--passes 3]`: the split deployment as
it is, and with requests that gather for a fixed time or not at all, in turns, each under the same arrivals of the same
users in a pass. In p99 and in CPU the pace that adapts is held against the window with the least p99, and where the
load is least its p50 against that of no window. Before anything is timed all slates are compared.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from loadtests.arrivals import Shape
from loadtests.batching_figures import ADAPTIVE, Run, fixed, verdict
from loadtests.bench_figures import cores, machine
from loadtests.ending import BROKEN, sentences, tell
from loadtests.options import items, number, rates, several
from loadtests.point import loading
from loadtests.report.of_batching import of_batching
from loadtests.slo import RESULTS
from loadtests.turns import Variant, turns
from loadtests.world import HOME, world

MOST_MS = 100
"""Of a window: who has less than four times as long left does not wait (`service.recommend.batcher`)."""


def main() -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args()
    shape = Shape("shifting", tuple((options.seconds, rate) for rate in options.rates))
    runs: list[Run] = []
    with sentences(), world(options.items, HOME) as place, loading(place) as loader:
        for turn, name, peer in turns(place, variants(options.windows), options.passes):
            runs.append(Run(name, turn, loader.load(peer, name, shape, turn, seed=turn + 1)))
    told = verdict(runs)
    byline = (
        f"{options.items:,} items, {shape} (seconds:requests a second), {options.passes} passes in turns, {cores()}"
    )
    figures = {"machine": machine(), "items": options.items, "points": [run.point.to_json() for run in runs]}
    tell(of_batching(runs, told, byline), figures | told.to_json(), RESULTS / "batching.json")
    return 0 if told.held else BROKEN


def variants(windows: Sequence[float]) -> list[Variant]:
    """The deployment as it is, without a window, and with each (ms)."""
    found = [Variant(ADAPTIVE, "split")]
    for window in sorted({0.0, *windows}):
        settings = {"TANDEM_MERGE_MS": "0", "TANDEM_MERGE_LEAST_MS": f"{window:g}"}
        found.append(Variant(fixed(window), "split", settings))
    return found


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(prog="python -m loadtests.batching", description=__doc__)
    made.add_argument("--items", type=items, default=100_000)
    made.add_argument("--windows", type=several(number(float, 0, MOST_MS)), default=[2.0, 5.0, 10.0, 15.0, 25.0])
    made.add_argument("--rates", type=rates, default=[20, 400, 1000, 60], help="requests a second, one after the other")
    made.add_argument("--seconds", type=number(float, 1, 3600), default=8, help="of each rate")
    made.add_argument("--passes", type=number(int, 1, 100), default=3)
    return made


if __name__ == "__main__":
    sys.exit(main())
