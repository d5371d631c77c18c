"""The ranking service: a thin shell over `models.RankingModel`."""

from __future__ import annotations

import bentoml
import numpy as np

from service import compose
from service.retrieval import LASTING_CONNECTION, NEVER_SHED_MS
from service.settings import environment, settings


@bentoml.service(
    name="Ranking",
    workers=settings().ranking_workers,
    runner_connection=LASTING_CONNECTION,
    logging={"access": {"enabled": False}},
)
class Ranking:
    """From hundreds of candidates to their order."""

    def __init__(self) -> None:
        compose.become_worker(settings())
        self._model = compose.ranking(environment())

    @bentoml.api(batchable=True, max_batch_size=settings().max_batch * 4, max_latency_ms=NEVER_SHED_MS)
    def rank(self, rows: np.ndarray) -> np.ndarray:
        """Scores for wire rows, see `service.wire`."""
        return self._model.rank(rows)
