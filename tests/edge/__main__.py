"""`python -m tests.edge`: attacks two deployments of the service behind HAProxy while other clients send requests.

It takes half an hour; every attack runs three times. It passes under these conditions: every connection is closed or
refused within 12 s, the memory of the proxy and the deployments grows by at most 20 MB, no request of other clients
fails, and the median of their 95th percentiles is at most doubled or 20 ms longer. `--rolling N` stops and starts a
deployment N times instead: every request is answered. The results are in `loadtests/results/edge.json` and
`rolling.json`; the exit code is 0 if all passed.
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
from typing import Any

from tests.edge import grpc_attacks, http_attacks
from tests.edge.measure import AttackOutcome, measured
from tests.edge.rolling import DRAIN, rolling_stops
from tests.edge.world import ProxiedDeployments
from tests.judged_load.outcome import print_table
from tests.servers.haproxy import HAPROXY

RESULTS = Path("loadtests/results")

CONNECTIONS = {"smuggling": 1} | dict.fromkeys(
    (
        *("endless chunks", "a large head", "many headers", "a body of a gigabyte", "packed bombs"),
        *("gRPC: large metadata", "gRPC: packed bombs", "gRPC: resets"),
    ),
    10,
)
"""Connections at once of an attack that is short and is repeated; other attacks have --connections."""

NOT_REPEATED = {"gRPC: resets"}
"""Its connections make 10,000 resets."""

COLUMNS = ("attack", "stopped", "within, s", "still open", "MB", "others' p95, ms: HTTP", "gRPC", "failed", "answers")


def main() -> int:
    """Run the command line; 0 if all passed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.edge", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=500, help="of a slow attack")
    parser.add_argument("--times", type=int, default=3, help="rounds of each attack")
    parser.add_argument("--only", nargs="*", help="names of attacks")
    parser.add_argument("--rolling", type=int, metavar="N", help="N rolling stops in place of the attacks")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the deployments end with this command
    binary = HAPROXY.find()
    if binary is None:
        print("There is no haproxy on PATH, and none can be unpacked: run this as root on Debian.")
        return 1
    with tempfile.TemporaryDirectory(prefix="tandem-edge-") as folder:
        settings = DRAIN if options.rolling else {}
        with ProxiedDeployments(Path(folder) / "world", binary, **settings) as world:
            return _roll(world, options.rolling) if options.rolling else _attack(world, options)


def _roll(world: ProxiedDeployments, times: int) -> int:
    stops = rolling_stops(world, times)
    _write("rolling.json", [stops.to_json()])
    print(json.dumps(stops.to_json(), indent=2))
    return 1 if stops.wrong else 0


def _attack(world: ProxiedDeployments, options: argparse.Namespace) -> int:
    outcomes = list(_outcomes(world, options))
    _write("edge.json", [each.to_json() for each in outcomes])
    rows = [(*_row(each), "[red]no" if each.wrong else "yes") for each in outcomes]
    print_table("attacks", (*COLUMNS, "pass"), rows, width=200)
    return 1 if any(each.wrong for each in outcomes) else 0


def _write(name: str, results: list[dict[str, Any]]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / name).write_text(json.dumps(results, indent=2), encoding="utf-8")


def _outcomes(world: ProxiedDeployments, options: argparse.Namespace) -> Iterator[AttackOutcome]:
    with world.clients(40.0):
        pass  # the first requests open connections
    gc.freeze()  # a full collection in this process would count as latency of other clients
    for module in (http_attacks, grpc_attacks):
        for attack in module.ATTACKS:
            if not options.only or attack in options.only:
                count = min(CONNECTIONS.get(attack, options.connections), options.connections)
                repeated = attack not in NOT_REPEATED
                outcome = measured(world, module.__name__, attack, count, options.times, repeated)
                print(*_row(outcome), *outcome.wrong, sep="  ", flush=True)
                yield outcome


def _row(outcome: AttackOutcome) -> tuple[str, ...]:
    tally = outcome.tally
    p95 = ["{:.0f} to {:.0f}".format(*outcome.medians(door)) for door in ("http", "grpc")]
    answers = ", ".join(f"{answer} x {count}" for answer, count in tally.answers.items())
    counts = (round(tally.slowest, 1), tally.open, round(outcome.memory_mb, 1), *p95, outcome.failed)
    return (outcome.attack, f"{tally.stopped}/{tally.connections}", *map(str, counts), answers)


if __name__ == "__main__":
    sys.exit(main())
