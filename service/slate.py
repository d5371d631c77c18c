"""The slate: filters, then the k best, topped up so that a list is never short while items are left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys.sources import AT_ONCE
from recsys.types import PAD, Source
from service.filters import CandidateFilter, allowed
from service.query import Query


class SlateSelector:
    """Sets the final k candidates, best first."""

    def __init__(self, filters: Sequence[CandidateFilter]) -> None:
        self._filters = filters

    def select(self, query: Query, without: int = PAD) -> None:
        """Set the slate; without: a row that never is in it."""
        for each in self._filters:
            query.remove(each.gone(query, query.items), each.reason)
        query.keep(np.argsort(-query.scores, kind="stable")[: query.k])
        missing = query.k - len(query.items)
        if missing > 0:
            self._top_up(query, missing, without)

    def _top_up(self, query: Query, missing: int, without: int) -> None:
        """What is popular, a step of the catalogue at a time, until enough of it passed the filters."""
        by_popularity = query.generation.tables.by_popularity
        for start in range(0, len(by_popularity), AT_ONCE):
            rows = np.asarray(by_popularity[start : start + AT_ONCE])
            rows = rows[~np.isin(rows, query.items) & (rows != without)]
            rows = rows[allowed(query, rows, self._filters)][:missing]
            # Below everything that was scored, and in their own order.
            floor = query.scores.min(initial=0)
            query.items = np.concatenate([query.items, rows])
            query.tower = np.concatenate([query.tower, np.full(len(rows), np.nan, np.float32)])
            query.sources = np.concatenate([query.sources, np.full(len(rows), Source.POPULAR, np.uint8)])
            query.scores = np.concatenate([query.scores, floor - 1 - np.arange(len(rows), dtype=np.float32)])
            missing -= len(rows)
            if not missing:
                return
