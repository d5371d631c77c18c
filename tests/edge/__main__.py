"""`python -m tests.edge`: attacks two deployments of the service behind HAProxy while other clients send requests.

It takes half an hour; every attack runs three times. It passes under these conditions: every connection is closed or
refused within 12 s, the memory of the proxy and the deployments grows by at most 20 MB, no request of other clients
fails, and the median of their 95th percentiles is at most doubled or 20 ms longer. The results are in
`loadtests/results/edge.json`; the exit code is 0 if all passed.
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

from tests.edge import grpc_attacks, http_attacks
from tests.edge.measure import AttackOutcome, measured
from tests.edge.world import ProxiedDeployments
from tests.servers.haproxy import HAPROXY
from training.report.page import Table

RESULT = Path("loadtests/results/edge.json")

SHORT = {
    *("endless chunks", "a large head", "many headers", "a body of a gigabyte", "packed bombs"),
    *("gRPC: large metadata", "gRPC: packed bombs", "gRPC: resets"),
}
CONNECTIONS = {"smuggling": 1} | dict.fromkeys(SHORT, 10)
"""Connections at once of an attack that is short and is repeated; other attacks have SLOW_CONNECTIONS."""

SLOW_CONNECTIONS = 500

NOT_REPEATED = {"gRPC: resets"}
"""Its connections make 10,000 resets."""

COLUMNS = ("attack", "stopped", "within, s", "MB", "others' p95, ms: HTTP", "gRPC", "failed", "answers")


def main() -> int:
    """Run the command line; 0 if all passed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.edge", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="names of attacks")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the deployments end with this command
    binary = HAPROXY.find()
    if binary is None:
        print("There is no haproxy on PATH, and none can be unpacked: run this as root on Debian.")
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="tandem-edge-") as folder,
        ProxiedDeployments(Path(folder) / "world", binary) as world,
    ):
        outcomes = list(_outcomes(world, options.only))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps([each.to_json() for each in outcomes], indent=2), encoding="utf-8")
    rows = [(*_row(each), "NO" if each.wrong else "yes") for each in outcomes]
    print(Table("attacks", (*COLUMNS, "pass"), rows).text())
    return 1 if any(each.wrong for each in outcomes) else 0


def _outcomes(world: ProxiedDeployments, only: list[str] | None) -> Iterator[AttackOutcome]:
    with world.clients(40.0):
        pass  # the first requests open connections
    gc.freeze()  # a full collection in this process would count as latency of other clients
    for module in (http_attacks, grpc_attacks):
        for attack in module.ATTACKS:
            if not only or attack in only:
                count = CONNECTIONS.get(attack, SLOW_CONNECTIONS)
                outcome = measured(world, module.__name__, attack, count, attack not in NOT_REPEATED)
                print(*_row(outcome), *outcome.wrong, sep="  ", flush=True)
                yield outcome


def _row(outcome: AttackOutcome) -> tuple[str, ...]:
    tally = outcome.tally
    p95 = ["{:.0f} to {:.0f}".format(*outcome.medians(door)) for door in ("http", "grpc")]
    answers = ", ".join(f"{answer} x {count}" for answer, count in tally.answers.items())
    counts = (round(tally.slowest, 1), round(outcome.memory_mb, 1), *p95, outcome.failed)
    return (outcome.attack, f"{tally.stopped}/{tally.connections}", *map(str, counts), answers)


if __name__ == "__main__":
    sys.exit(main())
