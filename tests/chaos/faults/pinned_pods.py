"""A fault of the store under separate processes of one image, which pins another generation than the live one.

As in Kubernetes, retrieval, ranking and the gateway are reached by TCP, and share no folder.
"""

from __future__ import annotations

import sys

from service.generations import PINNED
from tests.chaos.faults import store_faults
from tests.judged_load.outcome import Outcome
from tests.judged_load.served_pair import ServedPair
from tests.servers.deployment import Deployment

BACKENDS = ("retrieval", "ranking")


class PinnedPods(ServedPair):
    """Serves `pair.first` while it is entered; each process pins `pair.second`."""

    backends: tuple[Deployment, ...] = ()

    def deploy(self, **settings: str) -> Deployment:
        """Start retrieval and ranking, and make the gateway."""
        self.backends = tuple(self._pod(role) for role in BACKENDS)
        for each in self.backends:
            each.start()
        for each in self.backends:
            each.wait_until_ready()
        urls = {f"TANDEM_{role.upper()}_URL": each.url for role, each in zip(BACKENDS, self.backends, strict=True)}
        return self._pod("gateway", **urls, **settings)

    def _pod(self, role: str, **settings: str) -> Deployment:
        command = [sys.executable, "-m", "service", "serve", "--role", role]
        variables = {"REDIS_URL": self.server.url, PINNED: str(self.pair.second.path), **self.settings, **settings}
        return Deployment(self.folder / role, self.folder / f"{role}.log", command, **variables)

    def __exit__(self, *failed: object) -> None:
        self.deployment.stop()  # a backend waits for the connections of gateways
        for each in self.backends:
            each.stop()
        super().__exit__(*failed)


def store_gone(world: PinnedPods, seconds: float) -> Outcome:
    """The store is killed: every slate is still of the live generation, and lacks the store alone."""
    return store_faults.store_gone(world, seconds, " under separate processes that pin another generation")
