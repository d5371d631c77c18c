"""How soon a large generation is adopted, an item shown and hidden, and what a worker's memory grows by.

    python -m tests.chaos.scale --items 100k        # or 1M

Generations of that many items with untrained towers (a search costs the same), a deployment with two workers of each
service over an embedded Valkey, requests beside it. Prints a table. It asserts nothing: figures are for people.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx
import torch
from rich.console import Console
from rich.table import Table

from tests.chaos.load import Load, p99
from tests.chaos.served import Pair, Served
from tests.servers.deployment import descendants
from training.__main__ import size
from training.data import dataset
from training.data.generated_log import Shape, generate
from training.data.interaction_log import encode
from training.untrained_generation import some_users, untrained

WORKERS = {f"TANDEM_{role}_WORKERS": "2" for role in ("GATEWAY", "RETRIEVAL", "RANKING")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.scale", description=__doc__)
    parser.add_argument("--items", type=size, default=100_000)
    items = parser.parse_args().items
    torch.set_num_threads(1)
    table = Table(title=f"{items:,} items, two workers of each service", show_header=False)
    with tempfile.TemporaryDirectory(prefix="tandem-scale-") as name:
        folder = Path(name)
        small_memory = memory_of(folder / "small", pair(folder / "few", 1_000))
        large = pair(folder / "many", items)
        table.add_row("bytes of the generation", f"{large.first.manifest.size / 2**20:,.0f} MiB")
        with Served(folder / "large", large, **WORKERS) as world:
            for line in figures(world):
                table.add_row(*line)
            for role, grown in private_memory(world).items():
                table.add_row(
                    f"private memory of a {role} worker, above that with 1,000 items",
                    f"{grown - small_memory[role]:.0f} MiB",
                )
    Console(width=110).print(table)


def figures(world: Served) -> list[tuple[str, str]]:
    """Adoption, a new item, a hidden one."""
    world.put(world.pair.second)
    second = world.pair.second.manifest.id
    lines = []
    with Load(world.deployment.url, list(range(100)), rate=20) as load:
        time.sleep(3)
        before = list(load.answers)
        started = time.time()
        world.store.promote(second)
        adopted = load.wait(lambda answer: answer.body and answer.body.get("generation") == second, 60)
        during = [each for each in load.answers if each.due >= started]
        lines.append(("promote to the first answer from it", f"{adopted:.2f} s" if adopted else "never"))
        lines.append(
            ("p99 before, and while it was adopted", f"{1e3 * p99(before):.0f} ms, {1e3 * p99(during):.0f} ms")
        )
        lines.append(
            (
                "failed, degraded",
                f"{sum(a.failed for a in load.answers)}, {sum(bool(a.degraded) for a in load.answers)}",
            )
        )
    return [*lines, *put_and_hide(world)]


def put_and_hide(world: Served) -> list[tuple[str, str]]:
    """From PUT /items to a slate of whoever likes such things, and to none with it."""
    url, liked = world.deployment.url, "item-0"
    session = [{"item_id": liked}] * 3
    body = {"user_id": "a visitor", "k": 100, "session": session}
    first = httpx.post(f"{url}/recommend", json=body, timeout=10).json()["items"][0]["item_id"]

    def shown(item: str) -> bool:
        return any(
            each["item_id"] == item for each in httpx.post(f"{url}/recommend", json=body, timeout=10).json()["items"]
        )

    def until(item: str, wanted: bool) -> str:
        start = time.monotonic()
        while time.monotonic() - start < 20:
            if shown(item) == wanted:
                return f"{time.monotonic() - start:.2f} s"
        return "not in 20 s"

    httpx.put(f"{url}/items", json={"items": [{"item_id": first, "available": False}]}, timeout=10).raise_for_status()
    hidden = until(first, wanted=False)
    httpx.put(f"{url}/items", json={"items": [{"item_id": first, "available": True}]}, timeout=10).raise_for_status()
    return [("PUT /items to hidden, by both gateways", hidden), ("and to shown again", until(first, wanted=True))]


def memory_of(folder: Path, few: Pair) -> dict[str, float]:
    """Private memory of the workers of a small deployment, MiB, by role."""
    with Served(folder, few, **WORKERS) as world:
        return private_memory(world)


def private_memory(world: Served) -> dict[str, float]:
    """The most that a worker of each role keeps to itself, MiB."""
    roles = {int(told["name"].split()[-1]): told["name"].split()[0] for told in world.status()["processes"]}
    found: dict[str, float] = defaultdict(float)
    for pid in descendants(world.deployment.process.pid) & set(roles):
        rollup = (Path("/proc") / str(pid) / "smaps_rollup").read_text()
        # Pages of mapped files are the host's, once, whoever has them mapped or wrote them last.
        kib = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:"))
        found[roles[pid]] = max(found[roles[pid]], kib / 1024)
    return found


def pair(folder: Path, items: int) -> Pair:
    """Two generations of so many items over one log, that differ in their towers."""
    generate(Shape(max(50_000, items // 2), items), folder / "data")
    log = encode(dataset.read(folder / "data"))
    made = [untrained(folder, log, some_users(log, 100), seed) for seed in (0, 1)]
    return Pair(*made, {})


if __name__ == "__main__":
    main()
