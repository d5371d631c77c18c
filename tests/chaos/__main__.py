"""`make chaos`: every fault, done to a deployment under load; the table, and `loadtests/results/chaos.json`.

Minutes. Everything it starts and every file it writes is its own and goes with it; the exit code says whether all held.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.chaos import drained, faults, slow, workers
from tests.chaos.outcome import Outcome
from tests.chaos.served import Pair, Served, may_mount

RESULTS = Path("loadtests/results")


def main() -> int:
    """Do every fault; 0 if all held, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--redis", type=Path, help="a redis-server to use; default: the embedded Valkey")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--workers", action="store_true", help="kill workers, and nothing else")
    only.add_argument("--drain", type=int, metavar="TIMES", help="stop under load so often, and nothing else")
    asked, outcomes = parser.parse_args(), []
    name_of, chosen = "chaos", every
    if asked.workers:
        name_of, chosen = "workers", killed
    elif asked.drain:
        name_of, chosen = "drain", partial(stopped, times=asked.drain)
    with tempfile.TemporaryDirectory(prefix="tandem-chaos-") as name:
        for outcome in chosen(Path(name), asked.redis):
            outcomes.append(outcome)
            said = [line for line in (outcome.note, *outcome.wrong) if line]
            print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.fault}", *said, sep="\n     ", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    told = json.dumps([outcome.to_json() for outcome in outcomes], indent=2)
    (RESULTS / f"{name_of}.json").write_text(told, encoding="utf-8")
    Console().print(table(outcomes))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def killed(folder: Path, binary: Path | None) -> Iterator[Outcome]:
    """Workers of each service."""
    with Served(folder / "killed", Pair.make(folder / "killed-pair"), binary) as world:
        for service in workers.SERVICES:
            yield workers.worker_killed(world, service)
        yield workers.both_killed(world)
    with Served(folder / "one", Pair.make(folder / "one-pair"), binary, **workers.TWO_GATEWAYS) as world:
        for service in workers.SERVICES:
            yield workers.one_killed(world, service)


def stopped(folder: Path, binary: Path | None, times: int = 20) -> Iterator[Outcome]:
    """SIGTERM under load, with two gateway workers."""
    settings = drained.LOGGED | workers.TWO_GATEWAYS
    with Served(folder / "stopped", Pair.make(folder / "stopped-pair"), binary, **settings) as world:
        yield from drained.drained(world, times)


def every(folder: Path, binary: Path | None) -> Iterator[Outcome]:
    """All faults, one after the other."""
    pair = Pair.make(folder / "pair")
    with Served(folder / "served", pair, binary) as world:
        yield faults.swaps(world, slower=2.0)
        yield from faults.damaged_parts(world)
        yield from faults.spoiled_chunks(world)
        yield from faults.senseless_generations(world)
        yield faults.store_full(world)
        yield faults.store_hangs(world)
        yield faults.store_gone(world)
        yield faults.store_loads(world)
        yield faults.store_emptied(world)
        yield faults.store_evicts(world)
    yield from killed(folder, binary)
    yield from stopped(folder, binary)
    yield from slow.all_slow(pair, folder / "slow", binary, slack=slow.SLACK)
    if may_mount(folder / "probe"):
        yield faults.cache_full(pair, folder / "full")
        yield faults.cache_read_only(pair, folder / "read-only")
    else:
        print("skipped: full and read-only disks, which take root and the right to mount a file system")


def table(outcomes: list[Outcome]) -> Table:
    """For a person at a terminal."""
    table = Table(title="faults, under 40 requests a second", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("fault", "requests", "failed", "mixed", "degraded", "whole\nagain, s", "pass"):
        table.add_column(name, justify="left" if name == "fault" else "right")
    for each in outcomes:
        counts = (
            each.requests,
            each.failed,
            each.mixed,
            each.degraded,
            "-" if each.recovery_s is None else each.recovery_s,
        )
        table.add_row(each.fault, *map(str, counts), "yes" if each.passed else "[red]no")
    return table


if __name__ == "__main__":
    sys.exit(main())
