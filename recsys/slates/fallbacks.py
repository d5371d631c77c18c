"""The fallbacks of a request while the store, retrieval or ranking is down or late: what its answer is made of instead.

Without retrieval the user gets a precomputed list, or popular items if there is none. Without ranking the candidates
keep the order of retrieval. Without the store the user has no history but the session of the request.
"""

from __future__ import annotations

import numpy as np

from recsys.slates.query import Query
from recsys.types import I32, U16, Source


def take_list(query: Query) -> None:
    """Take the user's precomputed list, or popular items if there is none.

    A list made by a flow has the scores of the ranker; other scores fall with the place. There are no tower scores.
    """
    items, sources = listed(query)
    if len(items) or query.given is not None:  # a request without a known item gets none
        _in_order(query, items, sources)
        if query.listed is not None and items is query.listed.items:
            query.scores = query.listed.scores
    else:
        take_popular(query)


def take_popular(query: Query) -> None:
    """Take popular items."""
    popular = query.generation.popular
    _in_order(query, popular, np.full(len(popular), Source.POPULAR, np.uint16))


def listed(query: Query) -> tuple[I32, U16]:
    """The items of the request, or the user's list, best first, with their sources.

    The list is of a flow, else of the publisher, else empty.
    """
    if query.given is not None:
        return query.given, np.zeros(len(query.given), np.uint16)
    if query.listed is not None and len(query.listed.items):
        return query.listed.items, query.listed.sources | np.uint16(Source.PRECOMPUTED)
    candidates = query.record.candidates
    return candidates, np.full(len(candidates), Source.PRECOMPUTED, np.uint16)


def _in_order(query: Query, items: I32, sources: U16) -> None:
    query.set_candidates(items, np.full(len(items), np.nan, np.float32), sources)
    query.scores = 0 - np.arange(len(items), dtype=np.float32)  # 0 - x, because -x is -0.0 for the first
