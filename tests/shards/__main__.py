"""`python -m tests.shards`: proves that four shards of a large catalogue answer as one process with all items does.

It compares candidates and slates of users with filters, counts what a shard maps, kills a shard under load, and
promotes another generation under load. It prints a table and writes `loadtests/results/shards.json`. The exit code is
0 if all held. With --folder the generations are kept for the next run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.judged_load.outcome import Outcome, print_outcomes, printed
from tests.shards import checks
from tests.shards.catalogue import expect_slates, made_pair
from tests.shards.sharded_pair import ShardedPair

RESULT = Path("loadtests/results/shards.json")
COUNT = 4


def main() -> int:
    """Run all checks and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.shards", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=1_000, help="whose candidates and slates are compared")
    parser.add_argument("--folder", type=Path, help="for the generations, which are made if the folder has none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tandem-shards-") as name:
        outcomes = [*printed(all_checks(Path(name), options.folder or Path(name), options.items, options.users))]
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps([each.to_json() for each in outcomes], indent=2), encoding="utf-8")
    print_outcomes(f"{COUNT} shards of {options.items:,} items", outcomes)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def all_checks(folder: Path, kept: Path, items: int, users: int) -> Iterator[Outcome]:
    """Run all checks, one after the other, on one deployment."""
    pair, names = made_pair(kept, items, users)
    with ShardedPair(folder / "served", pair, COUNT, names, TANDEM_DEADLINE_MS="4000") as world:
        yield checks.same_candidates(world)
        with world.whole():
            yield checks.same_slates(world)
            yield checks.mapped(world)
        expect_slates(pair)
        yield checks.dead_shard(world)
        yield checks.adopted(world)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
