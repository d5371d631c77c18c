"""The endpoint /similar: the items most similar to an item, by retrieval; popular items if retrieval fails."""

from __future__ import annotations

import time

import numpy as np

from recsys.filters.compiled_conditions import packed
from recsys.slates.fallbacks import take_popular
from recsys.slates.query import Degraded, Query
from recsys.slates.slate import make_slate
from recsys.types import PAD
from service.backends import wire
from service.backends.calls import Backends
from service.recommend.pipeline import Pipeline, count_answer
from service.verbs.unbatched_call import call_backend


class SimilarItems:
    """Finds the items similar to an item."""

    def __init__(self, pipeline: Pipeline, backends: Backends) -> None:
        self._pipeline = pipeline
        self._similar = backends.similar

    async def find(self, query: Query, row: int) -> None:
        """Set the slate of a query to the items most similar to the item at `row`, or to popular items."""
        stage, request = Degraded.RETRIEVAL, _request(query, row)
        found = await call_backend(self._pipeline, stage, query, self._similar, request, wire.SIMILAR_FOUND)
        if found is None:
            take_popular(query)
        else:
            real = found["items"] != PAD
            query.set_candidates(found["items"][real], found["tower"][real], found["sources"][real])
            query.scores = found["scores"][real]
        query.keep(query.items != row)
        make_slate(query, without=row)
        count_answer(query)


def _request(query: Query, row: int) -> np.ndarray:
    request = np.zeros(1, wire.SIMILAR)
    request["generation"], request["item"] = query.generation.id.encode("ascii"), row
    request["filter"] = packed(query.matches)
    request["due"] = query.due + time.time() - time.monotonic()
    return request
