"""`python -m tests.edge`: every attack, on a deployment under light load; the table, `loadtests/results/edge.json`.

Ten minutes. As on a public port others have a key and strangers have none (`--open`: nobody has). The attacker stands
aside (`elsewhere`): its machine is another, and here it has what the cores leave. An attack that is over at once is
made again and again for eight seconds, a hundred connections a second. Everything it starts and every file it writes
is its own and goes with it; the exit code says whether all held: closed or refused within ten seconds, at most 10 MB
more memory, and others' p99 at most 1.5 times as long.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.chaos.load import Answer, p99
from tests.chaos.served import Pair, Served
from tests.edge import attacks, pickles, rpc, sockets
from tests.edge.cost import Cost
from tests.edge.keyed import Keyed

RESULTS = Path("loadtests/results")

SECONDS, MEGABYTES, RATIO = 10.0, 10.0, 1.5
"""What an attack may cost (issue 7)."""

RATE = 40.0
REST = 2.0
BEFORE = 15.0
ATTACKED = 8.0
"""Seconds. What takes longer is done once."""

FEW = {"smuggling": 1, "gRPC: packed bombs": 10} | dict.fromkeys(
    ("endless chunks", "a body of a gigabyte", "packed bombs", "gRPC: pings", "gRPC: much metadata"), 10
)
"""Connections at once of those that are over at once; slow ones are as many as are asked for."""

NEW = 100.0
"""Connections a second that those may open. Without a limit (`--new 0`) they open what the cores allow, some thousand:
then others wait for the cores."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attack did.

    closed_s: until the last was. quiet_ms, p99_ms: others' 99th percentile before and meanwhile. cpu_ms: of the
    deployment, for each connection of the attack. failed: others' requests without a slate.
    """

    attack: str
    connections: int
    closed: int
    closed_s: float
    memory_mb: float
    p99_ratio: float
    failed: int
    said: dict[str, int]
    wrong: tuple[str, ...]
    quiet_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_ms: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As `loadtests/results/edge.json` has it."""
        return asdict(self) | {"wrong": list(self.wrong), "pass": not self.wrong}


def main() -> int:
    """Try every attack; 0 if all held, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.edge", description=__doc__)
    parser.add_argument("--connections", type=int, default=500, help="of a slow attack")
    parser.add_argument(
        "--new", type=float, default=NEW, help="connections a second of one that is over at once; 0: all"
    )
    parser.add_argument("--open", action="store_true", help="ask for no keys, as a deployment on loopback may")
    parser.add_argument("--only", nargs="*", help="names of attacks")
    parser.add_argument("--redis", type=Path, help="a redis-server to use; default: the embedded Valkey")
    asked, outcomes = parser.parse_args(), []
    with tempfile.TemporaryDirectory(prefix="tandem-edge-") as name:
        for outcome in _every(Path(name), asked):
            outcomes.append(outcome)
            print(*_row(outcome), *outcome.wrong, sep="  ", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    told = json.dumps([outcome.to_json() for outcome in outcomes], indent=2)
    (RESULTS / "edge.json").write_text(told, encoding="utf-8")
    Console().print(_table(outcomes))
    return 0 if all(not outcome.wrong for outcome in outcomes) else 1


def _every(folder: Path, asked: argparse.Namespace) -> Iterator[Outcome]:
    kind = Served if asked.open else Keyed
    with kind(folder / "served", Pair.make(folder / "pair"), asked.redis) as world:
        with world.load(RATE):
            time.sleep(REST)  # what is done once is done
        gc.freeze()  # a full collection of what stands in this process took 340 ms, of others' p99 as it seemed
        for module in (attacks, rpc):
            for attack in module.ATTACKS:
                if not asked.only or attack in asked.only:
                    yield _tried(world, module.__name__, attack, asked.connections, asked.new)
        if not asked.only or "pickles" in asked.only:
            yield _pickled(world, folder / "canary")


def _tried(world: Served, module: str, attack: str, connections: int, new: float) -> Outcome:
    """One attack, from a process of its own, with others asking meanwhile and before."""
    deployment = world.deployment
    port = deployment.grpc_port if module.endswith("rpc") else deployment.port
    count = min(FEW.get(attack, connections), connections)
    with Cost(deployment.process.pid) as before, world.load(RATE) as quiet:
        start = time.monotonic()
        time.sleep(BEFORE)
    alone = before.cpu_s / (time.monotonic() - start)
    with Cost(deployment.process.pid) as during, world.load(RATE) as load:
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", module, attack, str(port), str(count), str(ATTACKED), str(new)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        time.sleep(REST)
    if done.returncode:
        raise RuntimeError(f"{attack}: the attacker failed:\n{done.stderr}")
    told = json.loads(done.stdout)
    more, quiet_s, p99_s = during.most_mb - before.most_mb, p99(quiet.answers), p99(load.answers)
    taken = during.cpu_s - alone * (time.monotonic() - start)
    failed = [answer for answer in load.answers if answer.failed]
    ratio = p99_s / max(quiet_s, 1e-3)
    wrong = [*told["wrong"], *_judged(told, more, ratio, failed)]
    return Outcome(
        attack,
        told["connections"],
        told["closed"],
        round(told["slowest"], 2),
        round(more, 1),
        round(ratio, 2),
        len(failed),
        told["said"],
        tuple(wrong),
        round(1000 * quiet_s, 1),
        round(1000 * p99_s, 1),
        round(1000 * taken / told["connections"], 2),
    )


def _judged(told: dict[str, Any], more: float, ratio: float, failed: list[Answer]) -> list[str]:
    wrong = []
    if told["closed"] < told["connections"]:
        wrong.append(f"{told['connections'] - told['closed']} connections were held")
    if told["slowest"] > SECONDS:
        wrong.append(f"the last was closed after {told['slowest']:.1f} s")
    if more > MEGABYTES:
        wrong.append(f"it took {more:.0f} MB")
    if ratio > RATIO:
        wrong.append(f"others waited {ratio:.1f} times as long")
    if failed:
        wrong.append(f"{len(failed)} requests of others failed: {failed[0].status} {failed[0].said}")
    return wrong


def _pickled(world: Served, path: Path) -> Outcome:
    """A pickle by every header to every socket of the deployment."""
    canary, sent, wrong = pickles.Canary(path), 0, []
    ports, paths = sockets.listening(world.deployment.process.pid)
    start = time.monotonic()
    for place in (*ports, *paths):
        whole = place != world.deployment.grpc_port
        for data in [*(pickles.requests(canary) if whole else ()), *(data for data, _ in canary.bodies())]:
            pickles.send(place, data, 2.0 if whole else 0.2)
            sent += 1
        if path.exists():
            wrong.append(f"{place} executed it")
            path.unlink()
    if strange := ports - world.ports:
        wrong.append(f"ports {strange} are no doors")
    return Outcome("pickles", sent, sent, round(time.monotonic() - start, 1), 0.0, 1.0, 0, {}, tuple(wrong))


def _row(outcome: Outcome) -> tuple[str, ...]:
    said = ", ".join(f"{what} x {count}" for what, count in outcome.said.items())
    waited = f"{outcome.p99_ratio} ({outcome.quiet_ms:.0f} to {outcome.p99_ms:.0f})"
    counts = (outcome.closed_s, outcome.memory_mb, waited, outcome.cpu_ms, outcome.failed)
    return (outcome.attack, f"{outcome.closed}/{outcome.connections}", *map(str, counts), said)


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(title="attacks", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in (
        "attack",
        "closed",
        "within, s",
        "MB",
        "others' p99, x (ms)",
        "CPU each, ms",
        "failed",
        "said",
        "pass",
    ):
        table.add_column(name, justify="left" if name in {"attack", "said"} else "right")
    for each in outcomes:
        table.add_row(*_row(each), "[red]no" if each.wrong else "yes")
    return table


if __name__ == "__main__":
    sys.exit(main())
