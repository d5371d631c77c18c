"""Where the CPU of a request goes, process by process, beside the floor: what its kernels take by themselves.

`python -m loadtests.bench.breakdown [--peer split] [--rates 100,400,800] [--passes 3]`: a deployment under each rate, its CPU
by process, and how many queries its calls had; then the kernels alone, in this process, in batches as large as those.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from loadtests.arrivals import Shape
from loadtests.bench.figures import cores, machine
from loadtests.bench.breakdown_figures import Part
from loadtests.bench.ending import sentences, tell
from loadtests.bench.floor import Kernels
from loadtests.memory import role
from loadtests.options import items, number, rates
from loadtests.bench.peers.servers import Running
from loadtests.bench.point import Loader, loading
from loadtests.bench.reports.of_breakdown import of_breakdown
from loadtests.slo import RESULTS
from loadtests.bench.peers.turns import Variant, turns
from loadtests.bench.world import HOME, world

PEERS = ("split", "split_grpc", "inline")


def main() -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args()
    parts: list[Part] = []
    with sentences(), world(options.items, HOME) as place, loading(place) as loader:
        for turn, _, peer in turns(place, [Variant(options.peer, options.peer)], options.passes):
            parts += [part(peer, options.peer, rate, options.seconds, turn, loader) for rate in options.rates]
        kernels = Kernels(place)
        parts = [each.over(kernels.floor(each.batch)) for each in parts]
    byline = f"{options.peer}, {options.items:,} items, {options.passes} passes of {options.seconds:g} s, {cores()}"
    figures = {"machine": machine(), "parts": [each.to_json() for each in parts]}
    tell(of_breakdown(parts, byline), figures, RESULTS / "breakdown.json")
    return 0


def part(peer: Running, name: str, rate: float, seconds: float, turn: int, loader: Loader) -> Part:
    """One load, and which process had which share of its CPU."""
    before, told = by_role(peer.pid), batches(peer.url)
    point = loader.load(peer, name, Shape("steady", ((seconds, rate),)), turn)
    used = {name: took - before[name] for name, took in by_role(peer.pid).items()}
    whole = sum(used.values())
    queries, calls = (now - then for now, then in zip(batches(peer.url), told, strict=True))
    shares = {name: point.cpu_ms * took / whole for name, took in used.items()}
    return Part(turn, point, max(round(queries / max(calls, 1)), 1), shares)


def by_role(pid: int) -> dict[str, float]:
    """CPU seconds so far of a server's processes."""
    server, found = psutil.Process(pid), defaultdict[str, float](float)
    for each in (server, *server.children(recursive=True)):
        times = each.cpu_times()
        found[role(Path(f"/proc/{each.pid}/cmdline").read_bytes())] += times.user + times.system
    return found


def batches(url: str) -> tuple[float, float]:
    """Queries so far, and the batches that the gateway took them in."""
    found = {}
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text):
        if family.name == "tandem_batch_queries":
            found = {sample.name.rpartition("_")[2]: sample.value for sample in family.samples}
    return found["sum"], found["count"]


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(prog="python -m loadtests.bench.breakdown", description=__doc__)
    made.add_argument("--peer", choices=PEERS, default="split")
    made.add_argument("--items", type=items, default=100_000)
    made.add_argument("--rates", type=rates, default=[100, 400, 800], help="requests a second")
    made.add_argument("--passes", type=number(int, 1, 100), default=3)
    made.add_argument("--seconds", type=number(float, 1, 3600), default=10, help="of a load")
    return made


if __name__ == "__main__":
    sys.exit(main())
