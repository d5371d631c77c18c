"""The retrieval service of BentoML: for each query of the gateway it finds some hundred candidates among all items.

Its APIs call `backends.models.RetrievalModel`.
"""

from __future__ import annotations

import bentoml

from service import wiring, workers
from service.backends import wire
from service.backends.backend_service import BATCHED, BackendService, add_backend_app, rows_api
from service.backends.models import RetrievalModel
from service.settings import environment, settings


@bentoml.service(name="Retrieval", workers=settings().retrieval_workers, **workers.OPTIONS)
class Retrieval(BackendService):
    """Selects hundreds of candidates from all items."""

    def __init__(self) -> None:
        workers.become_worker()
        holder = wiring.retrieval(environment())
        model = RetrievalModel(holder, wiring.puts(environment(), holder))
        self._serve(wiring.RETRIEVAL, model, holder)

    @rows_api(**BATCHED)
    async def retrieve(self, rows: wire.Rows) -> wire.Rows:
        """Candidates for rows of `wire.RETRIEVE`."""
        return self._compute("retrieve", rows)

    @rows_api()
    async def complete(self, rows: wire.Rows) -> wire.Rows:
        """Tower scores of the candidates of a list."""
        return self._compute("complete", rows)

    @rows_api()
    async def place(self, rows: wire.Rows) -> wire.Rows:
        """The place of an item in the order of the towers."""
        return self._compute("place", rows)

    @rows_api()
    async def similar(self, rows: wire.Rows) -> wire.Rows:
        """The items most similar to an item."""
        return self._compute("similar", rows)


add_backend_app(Retrieval, wiring.RETRIEVAL)
