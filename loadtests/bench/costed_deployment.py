"""A deployment whose costs are measured: untrained models of a dataset, a list for each user, and loads of one mode.

CPU is that of all processes of the deployment, without the store.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

import httpx
import redis

from loadtests.arrivals import Shape
from loadtests.bench.peers.servers import PeerError, Running, running
from loadtests.bench.point import LEAST_WHOLE, Loader, loading
from loadtests.bench.point import Point as LoadPoint
from loadtests.bench.world import World, make_generations, stored
from loadtests.slo import ROOT
from recsys.store.key_names import lists_key
from recsys.store.needed_memory import entries_memory, parts_memory, records_memory
from training.advisor.checklist import ServedMode
from training.advisor.cost import Memory, Point
from training.progress import RunProgress, terminal_progress

K = 10
"""Items of a slate."""

ATTEMPTS = 2
"""Loads at a rate, where other work on the machine made the first one late."""

MODES: tuple[ServedMode, ...] = get_args(ServedMode)


@dataclass
class Deployment:
    """A deployment with a list for each user, and what its flows cost.

    memory: measured bytes of the store. list_cpu_ms, flow_cpu_ms: see `CostProfile`.
    """

    place: World
    peer: Running
    loader: Loader
    memory: Memory
    list_cpu_ms: float
    flow_cpu_ms: float
    seconds: float
    lost: list[str] = field(default_factory=list)

    def point(self, mode: ServedMode, rate: float) -> Point | None:
        """A load of one mode; None where the deployment did not answer it whole, or the generator was late."""
        body = json.dumps({"user_id": "{id}", "k": K, "mode": mode})
        for attempt in range(ATTEMPTS):
            found = self.load(mode, rate, attempt, "--body", body)
            if not found.tally.generator_late and found.whole >= LEAST_WHOLE:
                return Point(mode, rate, found.cpu_ms, found.percentile(0.99))
        self.lost.append(f"{mode} at {rate:g} a second")
        return None

    def points(self, rates: Sequence[float]) -> tuple[Point, ...]:
        """Every mode at every rate that was measured."""
        return tuple(point for rate in rates for mode in MODES if (point := self.point(mode, rate)))

    def load(self, name: str, rate: float, attempt: int, *more: str) -> LoadPoint:
        """An open loop of known users or items."""
        shape = Shape("steady", ((self.seconds, rate),))
        return self.loader.load(self.peer, name, shape, attempt, more=("--k", str(K), "--cold-share", "0", *more))


@contextmanager
def deployed(data: Path, topology: str, seconds: float, flows: bool) -> Iterator[Deployment]:
    """Run a deployment over a generation of the data until the caller is done.

    seconds: of a load. flows: measure their CPU too, else it is 0.
    """
    home = ROOT / ".tandem" / "cost_profile"
    shutil.rmtree(home, ignore_errors=True)
    with terminal_progress() as progress:
        make_generations(data, home, 1, progress)
    with ExitStack() as stack:
        place = stack.enter_context(stored(home))
        empty = _used_memory(place, "used_memory_startup")
        generation_bytes = _used_memory(place) - empty
        run = home / "run"
        peer = stack.enter_context(running(topology, place, run, TANDEM_IMPRESSIONS_PER_SECOND="20"))
        with terminal_progress() as progress:
            flow_ms = _empty_refresh(place, run, progress) if flows else 0.0
            before = _used_memory(place)
            with progress.step("flows batch"):
                lists, batch_ms = _flow(place, run, "batch")
        list_bytes = (_used_memory(place) - before) / lists
        dims = place.generation.manifest.dims
        memory = Memory(dims["users"], dims["items"], generation_bytes, 0.0, list_bytes)
        _check_modes(peer, place)
        loader = stack.enter_context(loading(place))
        list_ms = (batch_ms - flow_ms) / lists if flows else 0.0
        yield Deployment(place, peer, loader, memory, list_ms, flow_ms, seconds)


def _empty_refresh(place: World, home: Path, progress: RunProgress) -> float:
    """CPU ms of `flows refresh` without events. A first run, which is not counted, fetches the generation."""
    with progress.step("flows refresh, the first time"):
        _flow(place, home, "refresh")
    with progress.step("flows refresh"):
        return _flow(place, home, "refresh")[1]


def _used_memory(place: World, name: str = "used_memory") -> int:
    with redis.Redis.from_url(place.url) as client:
        return int(client.info("memory")[name])


def _flow(place: World, home: Path, name: str) -> tuple[int, float]:
    """Run a flow as a command; its number of lists, and its CPU ms without Prefect's server."""
    own = {"TANDEM_RULES": home / "rules.toml", "TANDEM_SURFACES": home / "surfaces.toml", "TANDEM_HOME": home}
    variables = {"REDIS_URL": place.url, "PYTHONDONTWRITEBYTECODE": "", "TANDEM_EXPORTS": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(
        [sys.executable, "-m", "flows", name, "--json"],
        cwd=ROOT,
        env=os.environ | variables | {key: str(path) for key, path in own.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise PeerError(f"flows {name} failed: {ran.stderr[-1000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return int(json.loads(ran.stdout)["lists"]), 1_000 * cpu


def _check_modes(peer: Running, place: World) -> None:
    """PeerError unless a request for a mode is answered in that mode."""
    for mode in MODES:
        body = {"user_id": place.users[0], "k": K, "mode": mode}
        made_by = httpx.post(f"{peer.url}/recommend", json=body, timeout=10).raise_for_status().json()["mode"]
        if made_by != mode:
            raise PeerError(f"A request for the mode {mode} was answered in the mode {made_by}.")


def predicted_memory(place: World) -> Memory:
    """Bytes in Redis by the manifest, and of a list by one bucket of lists."""
    manifest = place.generation.manifest
    with redis.Redis.from_url(place.url) as client:
        entries = cast(dict[bytes, bytes], client.hgetall(lists_key(manifest.id, 0)))
    size = sum(len(user) + len(packed) for user, packed in entries.items() if user)
    list_bytes = entries_memory(size, len(entries)) / len(entries)
    dims = manifest.dims
    return Memory(dims["users"], dims["items"], parts_memory(manifest), records_memory(manifest), list_bytes)
