"""`make chaos`: breaks every part of a running service in turn while requests are sent, and judges the answers.

The run takes minutes and prints a table. The results are in `loadtests/results/chaos.json`. All processes and files of
the run are removed at its end. The exit code is 0 if every fault passed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.chaos.faults import (
    arm_faults,
    disk_faults,
    drain,
    failover,
    generation_faults,
    pinned_pods,
    slow_stages,
    store_faults,
    worker_faults,
)
from tests.judged_load.outcome import Outcome, print_outcomes, printed
from tests.judged_load.served_pair import GenerationPair, ServedPair
from tests.servers.deployment import SERVICES

RESULTS = Path("loadtests/results")


def main() -> int:
    """Run the command line; 0 if all faults passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--drain", type=int, metavar="TIMES", help="only stop under load, so many times")
    parser.add_argument("--arms", action="store_true", help="only the faults of experiments' arms")
    parser.add_argument("--failover", action="store_true", help="only failovers of the store")
    parser.add_argument(
        "--pinned", type=float, metavar="SECONDS", help="only kill the store, for so long, under processes that pin"
    )
    options = parser.parse_args()
    faults, name = all_faults, "chaos"
    if options.drain:
        faults, name = partial(drained, times=options.drain), "drain"
    elif options.pinned:
        faults, name = partial(pinned, seconds=options.pinned), "pinned"
    elif options.arms or options.failover:
        faults, name = (arms, "arms") if options.arms else (failovers, "failover")
    with tempfile.TemporaryDirectory(prefix="tandem-chaos-") as folder:
        pair = GenerationPair.make(Path(folder) / "pair")
        outcomes = [*printed(faults(Path(folder), pair))]
    RESULTS.mkdir(parents=True, exist_ok=True)
    results = json.dumps([outcome.to_json() for outcome in outcomes], indent=2)
    (RESULTS / f"{name}.json").write_text(results, encoding="utf-8")
    print_outcomes("faults, under 40 requests a second", outcomes)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def killed_workers(folder: Path, pair: GenerationPair) -> Iterator[Outcome]:
    """Kill workers of each service."""
    with ServedPair(folder / "killed", pair) as world:
        for service in SERVICES:
            yield worker_faults.worker_killed(world, service)
        yield worker_faults.both_killed(world)
    with ServedPair(folder / "one", pair, **worker_faults.TWO_GATEWAYS) as world:
        for service in SERVICES:
            yield worker_faults.one_killed(world, service)


def drained(folder: Path, pair: GenerationPair, times: int = 20) -> Iterator[Outcome]:
    """Send SIGTERM under load, with two gateway workers."""
    settings = drain.ALL_IMPRESSIONS | worker_faults.TWO_GATEWAYS
    with ServedPair(folder / "stopped", pair, **settings) as world:
        yield from drain.drained(world, times)


def arms(folder: Path, pair: GenerationPair) -> Iterator[Outcome]:
    """Break arms of experiments."""
    yield from arm_faults.all_arms(pair, folder / "arms")


def failovers(folder: Path, pair: GenerationPair) -> Iterator[Outcome]:
    """Lose the primary of a replicated store."""
    yield from failover.all_failovers(folder / "failover", pair)


def pinned(folder: Path, pair: GenerationPair, seconds: float = 30.0) -> Iterator[Outcome]:
    """Kill the store under processes of one image, each with a folder of its own."""
    with pinned_pods.PinnedPods(folder / "pinned", pair) as world:
        yield pinned_pods.store_gone(world, seconds)


def all_faults(folder: Path, pair: GenerationPair) -> Iterator[Outcome]:
    """Inject all faults, one after the other."""
    with ServedPair(folder / "served", pair) as world:
        yield generation_faults.swaps(world, slower=2.0)
        yield from generation_faults.damaged_parts(world)
        yield from generation_faults.spoiled_chunks(world)
        yield from generation_faults.senseless_generations(world)
        yield store_faults.store_full(world)
        yield store_faults.store_hangs(world)
        yield store_faults.store_gone(world)
        yield store_faults.store_loads(world)
        yield store_faults.store_emptied(world)
        yield store_faults.store_evicts(world)
    yield from pinned(folder, pair)
    yield from killed_workers(folder, pair)
    yield from drained(folder, pair)
    yield from slow_stages.all_slow(pair, folder / "slow")
    yield from arms(folder, pair)
    yield from failovers(folder, pair)
    if disk_faults.may_mount(folder / "probe"):
        yield disk_faults.cache_full(pair, folder / "full")
        yield disk_faults.cache_read_only(pair, folder / "read-only")
    else:
        print("skipped: full and read-only disks; they need root and the right to mount a file system")


if __name__ == "__main__":
    sys.exit(main())
