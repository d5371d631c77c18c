"""`python -m tests.network`: runs the service on several hosts, which are network namespaces, and breaks their links.

The command needs root and iproute2. It prints a table and writes `loadtests/results/network.json`. All that it makes is
removed at its end. The exit code is 0 if every fault passed, and 2 if the machine lacks something.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.judged_load.outcome import Outcome, print_outcomes, printed
from tests.judged_load.served_pair import GenerationPair
from tests.network import faults
from tests.network.deployment import CLIENT, ROLES, SpreadDeployment
from tests.network.hosts import Hosts, missing

RESULT = Path("loadtests/results/network.json")


def main() -> int:
    """Inject all faults and print the table."""
    argparse.ArgumentParser(prog="python -m tests.network", description=__doc__).parse_args()
    if lacking := missing():
        print(f"tests.network: {lacking}.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the hosts are removed, as on Ctrl-C
    with tempfile.TemporaryDirectory(prefix="tandem-network-") as name, Hosts(["redis", *ROLES, CLIENT]) as hosts:
        pair = GenerationPair.make(Path(name) / "pair")
        outcomes = [*printed(all_faults(Path(name), pair, hosts))]
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps([each.to_json() for each in outcomes], indent=2), encoding="utf-8")
    print_outcomes("faults of the network", outcomes)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def all_faults(folder: Path, pair: GenerationPair, hosts: Hosts) -> Iterator[Outcome]:
    """Inject all faults, one after the other."""
    with SpreadDeployment(folder / "spread", pair, hosts) as world:
        yield faults.nothing_cut(world)
        for host in faults.STAGE:
            yield faults.cut(world, host)
        yield faults.cut(world, "ranking", "unplug")
        yield faults.promoted_while_cut(world)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
