"""The rungs below the full path: lists that were made before, and what is popular."""

from __future__ import annotations

import numpy as np

from recsys.types import I32, U16, Source
from service.recommend.query import Query


def take_list(query: Query) -> None:
    """The list that a flow made for the user, or the publish; where there is none, what is popular.

    A flow's list has the ranker's scores, elsewhere they fall with the place; there are no tower scores.
    """
    items, sources = listed(query)
    if len(items):
        _in_order(query, items, sources)
        if query.listed is not None and items is query.listed.items:
            query.scores = query.listed.scores
    else:
        take_popular(query)


def take_popular(query: Query) -> None:
    """What is popular, whoever asks."""
    popular = query.generation.popular
    _in_order(query, popular, np.full(len(popular), Source.POPULAR, np.uint16))


def listed(query: Query) -> tuple[I32, U16]:
    """The user's list, best first, and who proposed each item; empty where there is none."""
    if query.listed is not None and len(query.listed.items):
        return query.listed.items, query.listed.sources | np.uint16(Source.PRECOMPUTED)
    candidates = query.record.candidates
    return candidates, np.full(len(candidates), Source.PRECOMPUTED, np.uint16)


def _in_order(query: Query, items: I32, sources: U16) -> None:
    query.set_candidates(items, np.full(len(items), np.nan, np.float32), sources)
    query.scores = 0 - np.arange(len(items), dtype=np.float32)  # and no -0 for the first
