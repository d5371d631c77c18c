"""Conversion of finished queries to the models of answers: item ids, titles, rounded scores and sources."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys.retrieval.registry import names_of
from recsys.slates.query import Query
from recsys.types import F32, Id
from service import schema

PLACES = 4
"""Decimal places of a score."""


def slate(query: Query) -> schema.RecommendResponse:
    """The slate of an answered query."""
    return schema.RecommendResponse.model_construct(
        user_id=query.user_id,
        items=_scored_items(query),
        generation=query.generation.id,
        mode=query.made_by,
        history=len(query.history[0]),
        removed=query.removed,
        degraded=list(query.degraded),
        unknown_items=query.unknown_items,
        unknown_types=query.unknown_types,
        surface=query.surface,
        arms=dict(query.assigned.arms),
        arms_away=list(query.assigned.away),
        freshness=freshness(query),
    )


def ranked(query: Query, unknown_items: Sequence[Id]) -> schema.RankResponse:
    """The items of a request in the order of an answered query. unknown_items: of the request."""
    return schema.RankResponse.model_construct(
        user_id=query.user_id,
        items=_scored_items(query),
        generation=query.generation.id,
        history=len(query.history[0]),
        removed=query.removed,
        degraded=list(query.degraded),
        unknown_items=list(dict.fromkeys([*unknown_items, *query.unknown_items])),
        unknown_types=query.unknown_types,
        surface=query.surface,
        arms=dict(query.assigned.arms),
        arms_away=list(query.assigned.away),
        freshness=freshness(query),
    )


def _scored_items(query: Query) -> list[schema.ScoredItem]:
    generation, words = query.generation, query.words
    columns = query.items.tolist(), rounded(query.scores), rounded(query.tower), query.sources.tolist()
    return [
        schema.ScoredItem.model_construct(
            item_id=generation.item_id(row),
            title=generation.title(row),
            score=score,
            tower_score=known(tower),
            sources=list(names_of(sources)),
            rules=list(words.get(row, ())),
        )
        for row, score, tower, sources in zip(*columns, strict=True)
    ]


def similar(query: Query, item_id: int | str) -> schema.SimilarResponse:
    """The items similar to an item, of an answered query."""
    generation = query.generation
    columns = query.items.tolist(), rounded(query.scores, 6), rounded(query.tower), query.sources.tolist()
    items = [
        schema.SimilarItem.model_construct(
            item_id=generation.item_id(row),
            title=generation.title(row),
            score=score,
            likeness=known(likeness),
            sources=list(names_of(source)),
        )
        for row, score, likeness, source in zip(*columns, strict=True)
    ]
    return schema.SimilarResponse.model_construct(
        item_id=item_id,
        items=items,
        generation=generation.id,
        removed=query.removed,
        degraded=list(query.degraded),
        mode=query.made_by,
        surface=query.surface,
        freshness=freshness(query),
    )


def freshness(query: Query) -> schema.Freshness:
    """The ages of what the slate was made from, rounded to a tenth of a second."""
    found = query.freshness
    assert found is not None, "the slate is made"
    return schema.Freshness.model_construct(
        model=round(found.model, 1),
        list=_tenths(found.list),
        trending=_tenths(found.trending),
        event=_tenths(found.event),
    )


def _tenths(age: float | None) -> float | None:
    return None if age is None else round(age, 1)


def rounded(values: F32, places: int = PLACES) -> list[float]:
    """Rounded scores [n]."""
    numbers: list[float] = np.round(values.astype(np.float64), places).tolist()
    return numbers


def known(score: float) -> float | None:
    """The score, or None for NaN: no model scored the item."""
    return score if score == score else None
