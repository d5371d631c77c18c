"""Attacks on two deployments behind the proxy, under others' requests: `python -m tests.edge` (half an hour).

Every attack is run three times. It holds if every connection is closed or refused within 12 s, the memory of the proxy
and the deployments grows by at most 20 MB, no request of others fails, and the median of their 95th percentile is at
most twice as long or 20 ms longer. `--rolling N` stops and starts a deployment N times instead: every request has an
answer. Results go to `loadtests/results/edge.json` and `rolling.json`; the exit code is 0 if all held.
"""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.edge import grpc_attacks, http_attacks
from tests.edge.measure import Outcome, measured
from tests.edge.rolling import DRAIN, rolling_stops
from tests.edge.world import World
from tests.servers.haproxy import haproxy

RESULTS = Path("loadtests/results")

FEW = {"smuggling": 1} | dict.fromkeys(
    (
        *("endless chunks", "a large head", "many headers", "a body of a gigabyte", "packed bombs"),
        *("gRPC: large metadata", "gRPC: packed bombs", "gRPC: resets"),
    ),
    10,
)
"""Connections at once of an attack that is over at once; it is repeated."""

ONCE = {"gRPC: resets"}
"""Not repeated: its connections make 10,000 resets."""

COLUMNS = ("attack", "stopped", "within, s", "still open", "MB", "others' p95, ms: HTTP", "gRPC", "failed", "answers")


def main() -> int:
    """Run what the command line names; 0 if all held, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.edge", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=500, help="of a slow attack")
    parser.add_argument("--times", type=int, default=3, help="rounds of each attack")
    parser.add_argument("--only", nargs="*", help="names of attacks")
    parser.add_argument("--rolling", type=int, metavar="N", help="N rolling stops in place of the attacks")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the deployments end with this command
    binary = haproxy()
    if binary is None:
        print("There is no haproxy on PATH, and none can be unpacked: run this as root on Debian.")
        return 1
    with tempfile.TemporaryDirectory(prefix="tandem-edge-") as folder:
        settings = DRAIN if options.rolling else {}
        with World(Path(folder) / "world", binary, **settings) as world:
            return _rolling(world, options.rolling) if options.rolling else _attacked(world, options)


def _rolling(world: World, times: int) -> int:
    stops = rolling_stops(world, times)
    _write("rolling.json", [stops.to_json()])
    print(json.dumps(stops.to_json(), indent=2))
    return 1 if stops.wrong else 0


def _attacked(world: World, options: argparse.Namespace) -> int:
    outcomes = list(_attacks(world, options))
    _write("edge.json", [each.to_json() for each in outcomes])
    Console(width=200).print(_table(outcomes))
    return 1 if any(each.wrong for each in outcomes) else 0


def _write(name: str, results: list[dict[str, Any]]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / name).write_text(json.dumps(results, indent=2), encoding="utf-8")


def _attacks(world: World, options: argparse.Namespace) -> Iterator[Outcome]:
    with world.clients(40.0):
        pass  # what is done once is done
    gc.freeze()  # a full collection in this process would count as latency of others
    modules: tuple[ModuleType, ...] = (http_attacks, grpc_attacks)
    for module in modules:
        for attack in module.ATTACKS:
            if not options.only or attack in options.only:
                count = min(FEW.get(attack, options.connections), options.connections)
                outcome = measured(world, module.__name__, attack, count, options.times, attack not in ONCE)
                print(*_row(outcome), *outcome.wrong, sep="  ", flush=True)
                yield outcome


def _row(outcome: Outcome) -> tuple[str, ...]:
    tally = outcome.tally
    p95 = ["{:.0f} to {:.0f}".format(*outcome.medians(door)) for door in ("http", "grpc")]
    answers = ", ".join(f"{answer} x {count}" for answer, count in tally.answers.items())
    counts = (round(tally.slowest, 1), tally.open, round(outcome.memory_mb, 1), *p95, outcome.failed)
    return (outcome.attack, f"{tally.stopped}/{tally.connections}", *map(str, counts), answers)


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(title="attacks", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in (*COLUMNS, "pass"):
        table.add_column(name, justify="left" if name in {"attack", "answers"} else "right")
    for each in outcomes:
        table.add_row(*_row(each), "[red]no" if each.wrong else "yes")
    return table


if __name__ == "__main__":
    sys.exit(main())
