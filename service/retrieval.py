"""The retrieval service: a thin shell over `models.RetrievalModel`."""

from __future__ import annotations

import bentoml
import numpy as np

from service import compose, pinned
from service.ahead import Ahead
from service.edge.connection import guard
from service.models import RetrievalModel
from service.settings import environment, settings

# `max_latency_ms` is no wait but a threshold past which BentoML sheds: deadlines are the gateway's, so it never should.
NEVER_SHED_MS = 60_000


guard(settings().max_connections)  # where it is a deployment of its own; the gateway's module does too


@bentoml.service(
    name="Retrieval",
    workers=settings().retrieval_workers,
    logging={"access": {"enabled": False}},
)
class Retrieval:
    """From many items to hundreds."""

    @bentoml.on_deployment
    @staticmethod
    def prepare_workers() -> None:
        """Once, in the parent of all workers; of the gateway's too, where this host has one."""
        compose.prepare_workers(environment(), settings(), pinned.folder())

    def __init__(self) -> None:
        compose.become_worker()
        holder = compose.retrieval(environment())
        self._model = RetrievalModel(holder, compose.puts(environment()))
        self._adopter = compose.adopter("retrieval", environment(), settings(), [holder])
        self._adopter.start()

    @bentoml.on_shutdown
    def stop_following(self) -> None:
        """Let go of the store, and of what is traced."""
        self._adopter.stop()
        compose.close_tracer(compose.RETRIEVAL)

    async def __is_ready__(self) -> bool:
        return bool(self._adopter.held)

    @bentoml.api(batchable=True, max_batch_size=settings().max_batch * 4, max_latency_ms=NEVER_SHED_MS)
    def retrieve(self, rows: np.ndarray) -> np.ndarray:
        """Candidates for wire rows, see `service.wire`."""
        return self._model.retrieve(rows)

    @bentoml.api
    def complete(self, rows: np.ndarray) -> np.ndarray:
        """Tower scores of candidates that were chosen before."""
        return self._model.complete(rows)

    @bentoml.api
    def place(self, rows: np.ndarray) -> np.ndarray:
        """Where the tower puts an item."""
        return self._model.place(rows)

    @bentoml.api
    def similar(self, rows: np.ndarray) -> np.ndarray:
        """The items most like one."""
        return self._model.similar(rows)


Retrieval.add_asgi_middleware(Ahead, make=compose.lane(compose.RETRIEVAL))  # type: ignore[attr-defined]  # the decorator makes it a `Service`
