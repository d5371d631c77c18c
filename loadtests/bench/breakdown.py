"""The CPU of a request by process, beside the CPU of its kernels alone.

`python -m loadtests.bench.breakdown [--peer split] [--rates 100,400,800] [--passes 3]` loads a deployment at each rate
and reads its CPU by process and the queries of each call. Then it runs the kernels alone, in batches of that size.
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
from loadtests.bench.ending import finish, sentences
from loadtests.bench.figures import cores, machine
from loadtests.bench.kernels.floor import Kernels
from loadtests.bench.peers.servers import Running
from loadtests.bench.peers.turns import Variant, turns
from loadtests.bench.point import Loader, loading
from loadtests.bench.reports.breakdown_report import Part, breakdown_report
from loadtests.bench.world import HOME, world
from loadtests.options import items, number, rates
from loadtests.processes.memory import role
from loadtests.slo import RESULTS

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
    finish(breakdown_report(parts, byline), figures, RESULTS / "breakdown.json")
    return 0


def part(peer: Running, name: str, rate: float, seconds: float, turn: int, loader: Loader) -> Part:
    """One load, and the share of each process in its CPU."""
    before, so_far = by_role(peer.pid), batches(peer.url)
    point = loader.load(peer, name, Shape("steady", ((seconds, rate),)), turn)
    used = {name: took - before[name] for name, took in by_role(peer.pid).items()}
    whole = sum(used.values())
    queries, calls = (now - then for now, then in zip(batches(peer.url), so_far, strict=True))
    shares = {name: point.cpu_ms * took / whole for name, took in used.items()}
    return Part(turn, point, max(round(queries / max(calls, 1)), 1), shares)


def by_role(pid: int) -> dict[str, float]:
    """CPU seconds of a server's processes so far, by role."""
    server, found = psutil.Process(pid), defaultdict[str, float](float)
    for each in (server, *server.children(recursive=True)):
        times = each.cpu_times()
        found[role(Path(f"/proc/{each.pid}/cmdline").read_bytes())] += times.user + times.system
    return found


def batches(url: str) -> tuple[float, float]:
    """The queries of the gateway so far, and their batches."""
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
