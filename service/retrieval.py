"""The retrieval service: a thin shell over `models.RetrievalModel`."""

from __future__ import annotations

import bentoml
import numpy as np

from service import compose, workers
from service.models import RetrievalModel
from service.settings import environment, settings
from service.shell import DRAIN, NEVER_SHED_MS, NOTHING_AROUND, Shell


@bentoml.service(
    name="Retrieval",
    workers=settings().retrieval_workers,
    **NOTHING_AROUND,
)
class Retrieval(Shell):
    """From many items to hundreds."""

    def __init__(self) -> None:
        workers.become_one()
        holder = compose.retrieval(environment())
        self._model = RetrievalModel(holder, compose.puts(environment()))
        self._follow(compose.RETRIEVAL, holder)

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


Retrieval.add_asgi_middleware(compose.lane, role=compose.RETRIEVAL, drain=DRAIN)  # type: ignore[attr-defined]  # the decorator makes it a `Service`
