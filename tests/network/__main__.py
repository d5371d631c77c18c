"""`python -m tests.network`: a deployment on several hosts, which are network namespaces, and what cuts do to it.

Needs root and iproute2. The table goes to the terminal, with a hop's costs to `loadtests/results/network.json` too.
Everything it starts, writes and makes goes with it, on Ctrl-C too. The exit code says whether all held; 2: it can't.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.chaos.outcome import Outcome
from tests.chaos.served import Pair
from tests.network import faults
from tests.network.cost import Cost, costs
from tests.network.deployment import CLIENT, ROLES, Spread
from tests.network.hosts import Hosts, missing

RESULT = Path("loadtests/results/network.json")


def main() -> int:
    """Do all of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.network", description=__doc__)
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second while a hop's cost is measured")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each such measurement; 0: none")
    asked = parser.parse_args()
    lacking = missing()
    if lacking:
        print(f"tests.network: {lacking}.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was made is taken away, as on Ctrl-C
    outcomes: list[Outcome] = []
    figures: list[Cost] = []
    with tempfile.TemporaryDirectory(prefix="tandem-network-") as name, Hosts(["redis", *ROLES, CLIENT]) as hosts:
        pair = Pair.make(Path(name) / "pair")
        for outcome in every(Path(name), pair, hosts):
            outcomes.append(outcome)
            said = [line for line in (outcome.note, *outcome.wrong) if line]
            print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.fault}", *said, sep="\n     ", flush=True)
        if asked.seconds:
            figures += costs(Path(name) / "costs", pair, hosts, asked.rate, asked.seconds)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    told = {"faults": [each.to_json() for each in outcomes], "hops": [each.to_json() for each in figures]}
    RESULT.write_text(json.dumps(told, indent=2), encoding="utf-8")
    show(outcomes, figures)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def every(folder: Path, pair: Pair, hosts: Hosts) -> Iterator[Outcome]:
    """All faults, one after the other."""
    with Spread(folder / "spread", pair, hosts) as world:
        yield faults.measured(world, faults.whole)
        for host in faults.STAGE:
            yield faults.measured(world, faults.cut, host)
        yield faults.measured(world, faults.cut, "ranking", "unplug")
        yield faults.measured(world, faults.promoted_while_cut)


def show(outcomes: list[Outcome], figures: list[Cost]) -> None:
    """For a person at a terminal."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("fault", "requests", "failed", "degraded", "whole again, s", "pass"):
        table.add_column(name, justify="left" if name == "fault" else "right")
    for each in outcomes:
        again = "-" if each.recovery_s is None else str(each.recovery_s)
        counts = (str(each.requests), str(each.failed), str(each.degraded), again)
        table.add_row(each.fault, *counts, "yes" if each.passed else "[red]no")
    Console().print(table)
    if not figures:
        return
    hops = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("hops", "requests", "p50, ms", "p99, ms", "CPU a request, ms", "CPU, ratio"):
        hops.add_column(name, justify="left" if name == "hops" else "right")
    for cost in figures:
        ratio = f"{cost.cpu_ms / figures[0].cpu_ms:.2f}"
        told = (str(cost.requests), f"{cost.p50_ms:.1f}", f"{cost.p99_ms:.1f}", f"{cost.cpu_ms:.2f}", ratio)
        hops.add_row(cost.hop, *told)
    Console().print(hops)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
