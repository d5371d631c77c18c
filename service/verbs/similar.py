"""The endpoint /similar: the items most similar to an item, by retrieval now, or from the list that a flow made.

The list answers in mode batch of a surface, and where retrieval fails. Without a list popular items do.
"""

from __future__ import annotations

import time

import numpy as np

from recsys.filters.compiled_conditions import packed
from recsys.lists.similar_list import SimilarList
from recsys.slates.fallbacks import take_popular
from recsys.slates.query import Degraded, Query
from recsys.slates.slate import make_slate
from recsys.slates.slate_ages import similar_freshness
from recsys.slates.slate_filters import allowed
from recsys.store.redis.user_store import RedisUserStore
from recsys.types import PAD, Mode, Source
from service.backends import wire
from service.backends.calls import Backends
from service.recommend.pipeline import Pipeline, count_answer
from service.recommend.unbatched_call import call_backend, call_stage

STORE_SHARE, RETRIEVAL_SHARE = 0.4, 0.8
"""Of the time left that a read of the list and a call of retrieval may take, so that the next step still has time."""


class SimilarItems:
    """Finds the items similar to an item."""

    def __init__(self, pipeline: Pipeline, backends: Backends, store: RedisUserStore) -> None:
        self._pipeline = pipeline
        self._similar = backends.similar
        self._store = store

    async def find(self, query: Query, row: int) -> None:
        """Set the slate of a query to the items most similar to the item at `row`, or to popular items.

        In mode batch the list is the answer, unless fewer than k of its items may be shown.
        """
        listed = await self._list(query, row) if query.mode == Mode.BATCH else None
        query.made_by = Mode.REALTIME
        if listed is not None and allowed(query, listed.items).sum() >= query.k:
            _take(query, listed)
        elif not await self._retrieve(query, row):
            listed = listed or await self._list(query, row)
            if listed is None:
                take_popular(query)
            else:
                _take(query, listed)
        query.keep(query.items != row)
        make_slate(query, without=row)
        taken = listed if query.made_by == Mode.BATCH else None
        query.freshness = similar_freshness(query, taken.made_at if taken else None, time.time())
        count_answer(query)

    async def _retrieve(self, query: Query, row: int) -> bool:
        """Set the candidates of a query to what retrieval finds now; False if retrieval fails."""
        request = _request(query, row)
        found = await call_backend(
            self._pipeline, Degraded.RETRIEVAL, query, self._similar, request, wire.SIMILAR_FOUND, RETRIEVAL_SHARE
        )
        if found is None:
            return False
        found = found[0]
        real = found["items"] != PAD
        query.set_candidates(found["items"][real], found["tower"][real], found["sources"][real])
        query.scores = found["scores"][real]
        return True

    async def _list(self, query: Query, row: int) -> SimilarList | None:
        """The list of the item at `row`; None if there is none, or if it can't be read: the query is then degraded."""

        async def read() -> list[bytes | None]:
            return [await self._store.read_similar(query.generation.id, row)]

        found = await call_stage(self._pipeline, Degraded.STORE, query, read, STORE_SHARE)
        try:
            return SimilarList.unpack(found[0]) if found else None
        except ValueError:
            query.leave_out(Degraded.STORE)
            return None


def _take(query: Query, listed: SimilarList) -> None:
    """Set the candidates of a query to the items of a list."""
    query.set_candidates(listed.items, listed.likeness, listed.sources | np.uint16(Source.PRECOMPUTED))
    query.scores, query.made_by = listed.scores, Mode.BATCH


def _request(query: Query, row: int) -> np.ndarray:
    request = np.zeros(1, wire.SIMILAR)
    request["generation"], request["item"] = query.generation.id.encode("ascii"), row
    request["filter"] = packed(query.matches)
    request["due"] = query.due + time.time() - time.monotonic()
    return request
