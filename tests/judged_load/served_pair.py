"""A service with a Redis of its own and a pair of generations (sets of trained models), for tests of faults and swaps.

It serves the first of the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from recsys.generation.manifest import GenerationFolder
from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from tests.judged_load.expected_slates import ExpectedSlates
from tests.judged_load.http_load import HttpLoad
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from tests.servers.store_server import StoreServer

USERS: list[int | str] = [*range(0, tiny.USERS, 7), "a stranger", "another"]


@dataclass(frozen=True)
class GenerationPair:
    """Two generations of the same items and users, and the slates of each by id."""

    first: GenerationFolder
    second: GenerationFolder
    expected: dict[str, ExpectedSlates]

    @classmethod
    def make(cls, folder: Path) -> GenerationPair:
        """Train both on the tiny dataset with different seeds."""
        made = [tiny.generation(folder / f"world-{seed}", seed)[0] for seed in (0, 1)]
        return cls(*made, {each.manifest.id: ExpectedSlates(each) for each in made})


class ServedPair:
    """Serves `pair.first` while it is entered. settings: variables of the deployment. server: of another kind."""

    rate = 40.0
    """Requests a second of a load."""

    def __init__(self, folder: Path, pair: GenerationPair, server: Any = None, **settings: str) -> None:
        self.folder, self.pair, self.settings = folder, pair, settings
        self.home = folder / "home"
        self.server = server or StoreServer(folder / "redis")

    def __enter__(self) -> ServedPair:
        self.server.start()
        self.store = RedisGenerationStore(self.server.url)
        self.put(self.pair.first)
        self.store.promote(self.pair.first.manifest.id)
        self.deployment = self.deploy()
        self.deployment.start()
        self.deployment.wait_until_ready()
        self.wait_for(lambda status: status["generation"] == self.pair.first.manifest.id)
        return self

    def __exit__(self, *_: object) -> None:
        self.deployment.stop()
        self.store.close()
        self.server.stop()

    def deploy(self, **settings: str) -> Deployment:
        """Make another deployment over the same store and files, without starting it."""
        variables = {"REDIS_URL": self.server.url, **self.settings, **settings}
        return Deployment(self.home, self.folder / f"service-{time.monotonic_ns()}.log", **variables)

    @property
    def expected(self) -> dict[str, ExpectedSlates]:
        """The slates of both generations by id."""
        return self.pair.expected

    def put(self, folder: GenerationFolder) -> None:
        """Write a generation to the store without promoting it."""
        Publisher(self.store, self.folder / "trials").publish(folder)

    def load(self, rate: float | None = None) -> HttpLoad:
        """A load on the deployment."""
        return HttpLoad(self.deployment.url, USERS, rate or self.rate)

    def status(self) -> dict[str, Any]:
        """The body of /status."""
        body: dict[str, Any] = httpx.get(f"{self.deployment.url}/status", timeout=10).json()
        return body

    def wait_for(self, wanted: Callable[[dict[str, Any]], Any], seconds: float = 30) -> float | None:
        """Seconds until /status is as wanted; None after so many seconds."""
        start = time.monotonic()
        while (passed := time.monotonic() - start) < seconds:
            if wanted(self.status()):
                return passed
            time.sleep(0.05)
        return None

    def metric(self, name: str) -> float:
        """The sum of a metric over all its labels."""
        text = httpx.get(f"{self.deployment.url}/metrics", timeout=10).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def settle(self) -> None:
        """Make `pair.first` live again, and wait until it is served and the store is in use."""
        first = self.pair.first.manifest.id
        if self.store.alias("live") != first:
            self.store.promote(first)
        assert self.wait_for(lambda status: status["generation"] == first and status["store"] == "ok") is not None
