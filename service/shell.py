"""The base of the retrieval and ranking services: how a worker starts, follows the live generation, and ends."""

from __future__ import annotations

from typing import Any

import bentoml
from starlette.exceptions import HTTPException

from service import compose, readiness, workers
from service.drain import Drain
from service.holder import GenerationHolder
from service.settings import environment, settings

NEVER_SHED_MS = 60_000
"""BentoML answers 503 to a call that waits longer than `max_latency_ms`. The gateway's deadlines end a wait earlier."""

NOTHING_AROUND: dict[str, Any] = {
    "logging": {"access": {"enabled": False}},
    "metrics": {"enabled": False},
    "tracing": {"excluded_urls": ".*"},
}
"""Turns BentoML's log, metrics and spans of each call off; `service.telemetry` has the deployment's own."""

DRAIN = Drain()
"""Of this process, which runs one of the two services."""


class Shell:
    """The base of both; a subclass calls `_follow` when the worker has its model."""

    @bentoml.on_deployment
    @staticmethod
    def prepare_workers() -> None:
        """Once, in the parent of all workers; also of the gateway's workers, if they run on this host."""
        workers.prepare(environment(), settings())

    def _follow(self, role: str, holder: GenerationHolder[Any]) -> None:
        self._role = role
        self._adopter = compose.adopter(role, environment(), settings(), [holder])
        self._adopter.start()

    @bentoml.on_startup
    async def await_stop(self) -> None:
        """Drain before the end, if this service runs on a host of its own."""
        DRAIN.await_signal()

    @bentoml.on_shutdown
    def stop_following(self) -> None:
        """Close the store, and export the last spans."""
        self._adopter.stop()
        compose.close_traces(self._role)

    async def __is_ready__(self) -> bool:
        if reason := readiness.STOPPING if DRAIN.begun else self._adopter.unready_backend:
            raise HTTPException(503, reason)  # which becomes the answer of /readyz
        return True
