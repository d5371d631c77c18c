"""A deployment whose retrieval runs in shards, each a process of its own, with a pair of generations to serve."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.judged_load.http_load import HttpLoad
from tests.judged_load.served_pair import USERS, GenerationPair, ServedPair
from tests.servers.deployment import Deployment, descendants

COMMAND = [sys.executable, "-m", "service", "serve", "--role", "retrieval"]


class ShardedPair(ServedPair):
    """Serves `pair.first` from so many shards while it is entered."""

    def __init__(
        self, folder: Path, pair: GenerationPair, count: int, users: list[int | str] = USERS, **settings: str
    ) -> None:
        super().__init__(folder, pair, **settings)
        self.users = users
        self._count = count
        self.shards: list[Deployment] = []

    def deploy(self, **settings: str) -> Deployment:
        """Start the shards, and make a gateway with ranking."""
        if not self.shards:
            variables = {"REDIS_URL": self.server.url, **self.settings}
            for number in range(1, self._count + 1):
                shard = {"TANDEM_RETRIEVAL_SHARD": f"{number}/{self._count}"}
                log = self.folder / f"shard-{number}.log"
                self.shards.append(Deployment(self.home, log, COMMAND, **variables, **shard))
                self.shards[-1].start()
            for each in self.shards:
                each.wait_until_ready()
        return super().deploy(TANDEM_RETRIEVAL_URL=",".join(each.url for each in self.shards), **settings)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Run a second deployment over the same store, `unsharded`, whose retrieval has all items."""
        with super().deploy() as self.unsharded:
            yield

    def load(self, rate: float = 40.0) -> HttpLoad:
        """A load on the deployment."""
        return HttpLoad(self.deployment.url, self.users, rate)

    def kill(self, number: int) -> None:
        """End all processes of a shard without a stop."""
        process = self.shards[number - 1].process
        for pid in {process.pid, *descendants(process.pid)}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def __exit__(self, *failed: object) -> None:
        for each in self.shards:
            each.stop()
        super().__exit__(*failed)
