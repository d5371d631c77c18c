"""The base class of the BentoML services retrieval and ranking: their APIs, start, readiness and orderly stop."""

from __future__ import annotations

from typing import Any

import bentoml
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recsys.process.command_exit import exit_with_sentence
from service import wiring, workers
from service.backends import wire
from service.backends.rows import Rows
from service.drain import Drain
from service.generations import readiness
from service.generations.holder import GenerationHolder
from service.settings import environment, settings
from service.telemetry import metrics

NEVER_SHED_MS = 60_000
"""BentoML answers 503 to a call that waits longer than `max_latency_ms`. The gateway's deadlines end a wait earlier."""

DRAIN = Drain(seconds=settings().drain_seconds, backend=True)
"""The orderly stop of this process, which runs one of the two services."""


BATCHED: dict[str, Any] = {
    "batchable": True,
    "max_batch_size": settings().max_batch * 4,
    "max_latency_ms": NEVER_SHED_MS,
}
"""BentoML merges the calls of several gateway processes."""


def rows_api(**options: Any) -> Any:
    """BentoML's decorator of an API whose calls and answers are rows of bytes."""
    return bentoml.api(input_spec=Rows, output_spec=Rows, **options)


def add_backend_app(service: Any, role: str) -> None:
    """Add traces and GET /metrics to BentoML's app of a service."""
    service.add_asgi_middleware(wiring.backend, role=role)
    service.mount_asgi_app(Starlette(routes=[Route("/metrics", _metrics)]))


def _metrics(_: Request) -> Response:
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


class BackendService:
    """The base of retrieval and ranking; a subclass calls `_serve` with its model."""

    @bentoml.on_deployment
    @staticmethod
    def prepare_workers() -> None:
        """Once, in the parent of all workers; also of the gateway's workers, if they run on this host."""
        with exit_with_sentence():  # BentoML would print a traceback
            workers.prepare(environment(), settings())

    def _serve(self, role: str, model: Any, holder: GenerationHolder[Any]) -> None:
        self._role = role
        self._model = model
        self._follower = wiring.follower(role, environment(), settings(), [holder])
        self._follower.start()
        if bentoml.server_context.service_type == "entry_service":  # else a gateway of this host counts
            wiring.count_workers(role, environment(), settings())

    def _compute(self, api: str, rows: wire.Rows) -> wire.Rows:
        """Compute on the event loop: a worker computes one batch at a time, and a thread costs 0.1 ms more."""
        metrics.rows_together.labels(api).observe(len(rows))
        computed: wire.Rows = getattr(self._model, api)(rows)
        return computed

    @bentoml.on_startup
    async def await_stop(self) -> None:
        """End in order on SIGTERM: after the gateways."""
        DRAIN.await_signal()

    @bentoml.on_shutdown
    def stop_following(self) -> None:
        """Close the store, and export the last spans."""
        self._follower.stop()
        wiring.close_traces(self._role)

    async def __is_ready__(self) -> bool:
        if reason := readiness.STOPPING if DRAIN.begun else self._follower.unready:
            raise HTTPException(503, reason)  # which becomes the answer of /readyz
        return True
