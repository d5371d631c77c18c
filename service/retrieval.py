"""The retrieval service: APIs over `models.RetrievalModel`."""

from __future__ import annotations

import bentoml

from service import wiring, workers
from service.backends import wire
from service.backends.models import RetrievalModel
from service.backends.service import BATCHED, BackendService, add_backend_app, rows_api
from service.settings import environment, settings


@bentoml.service(name="Retrieval", workers=settings().retrieval_workers, **workers.OPTIONS)
class Retrieval(BackendService):
    """From many items to hundreds."""

    def __init__(self) -> None:
        workers.become_worker()
        holder = wiring.retrieval(environment())
        model = RetrievalModel(holder, wiring.puts(environment()))
        self._serve(wiring.RETRIEVAL, model, holder)

    @rows_api(**BATCHED)
    async def retrieve(self, rows: wire.Rows) -> wire.Rows:
        """Candidates for rows of `wire.RETRIEVE`."""
        return self._compute("retrieve", rows)

    @rows_api()
    async def complete(self, rows: wire.Rows) -> wire.Rows:
        """Tower scores of candidates that were chosen before."""
        return self._compute("complete", rows)

    @rows_api()
    async def place(self, rows: wire.Rows) -> wire.Rows:
        """Where the tower puts an item."""
        return self._compute("place", rows)

    @rows_api()
    async def similar(self, rows: wire.Rows) -> wire.Rows:
        """The items most like one."""
        return self._compute("similar", rows)


add_backend_app(Retrieval, wiring.RETRIEVAL)
