"""What retrieval and ranking have in common as services of BentoML: how they start, follow what is live, and end."""

from __future__ import annotations

from typing import Any

import bentoml
from starlette.exceptions import HTTPException

from service import compose, readiness, workers
from service.drain import Drain
from service.edge.calm import UNREAD_SECONDS, calm
from service.edge.connection import guard
from service.holder import GenerationHolder
from service.settings import environment, settings

# `max_latency_ms` is no wait but a threshold past which BentoML sheds: deadlines are the gateway's, so it never should.
NEVER_SHED_MS = 60_000

guard(settings().max_connections)  # where one is a deployment of its own; the gateway's module does too


class Shell:
    """The base of both; `_follow` is to be called when the worker has its model."""

    @bentoml.on_deployment
    @staticmethod
    def prepare_workers() -> None:
        """Once, in the parent of all workers; of the gateway's too, where this host has one."""
        workers.prepare(environment(), settings())

    def _follow(self, role: str, holder: GenerationHolder[Any]) -> None:
        calm(UNREAD_SECONDS)
        self._role = role
        self._adopter = compose.adopter(role, environment(), settings(), [holder])
        self._adopter.start()
        self._drain = Drain()

    @bentoml.on_startup
    async def await_stop(self) -> None:
        """Where this is a deployment of its own it is told before it ends."""
        self._drain.await_signal()

    @bentoml.on_shutdown
    def stop_following(self) -> None:
        """Let go of the store, and of what is traced and counted."""
        self._adopter.stop()
        compose.tell_all(self._role)

    async def __is_ready__(self) -> bool:
        if reason := readiness.STOPPING if self._drain.begun else self._adopter.unready_backend:
            raise HTTPException(503, reason)  # which becomes the answer of /readyz
        return True
