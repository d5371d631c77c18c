"""From queries to what the doors give."""

from __future__ import annotations

import math

from recsys.types import Source
from service import schema
from service.query import Query


def slate(query: Query) -> schema.RecommendResponse:
    """The slate of an answered query."""
    generation, words = query.generation, query.words
    columns = query.items.tolist(), query.scores.tolist(), query.tower.tolist(), query.sources.tolist()
    items = [
        schema.ScoredItem.model_construct(
            item_id=generation.item_id(row),
            title=generation.title(row),
            score=round(score, 4),
            tower_score=number(tower),
            sources=Source(source).names(),
            rules=list(words.get(row, ())),
        )
        for row, score, tower, source in zip(*columns, strict=True)
    ]
    return schema.RecommendResponse.model_construct(
        user_id=query.user_id,
        items=items,
        generation=generation.id,
        mode=query.made_by.value,
        history=len(query.history[0]),
        removed=query.removed,
        degraded=list(query.degraded),
    )


def likes(query: Query, item_id: int | str) -> schema.SimilarResponse:
    """The items most like one, of a query whose candidates they are."""
    generation = query.generation
    columns = query.items.tolist(), query.scores.tolist(), query.tower.tolist(), query.sources.tolist()
    items = [
        schema.SimilarItem.model_construct(
            item_id=generation.item_id(row),
            title=generation.title(row),
            score=round(score, 6),
            likeness=number(likeness),
            sources=Source(source).names(),
        )
        for row, score, likeness, source in zip(*columns, strict=True)
    ]
    return schema.SimilarResponse.model_construct(
        item_id=item_id,
        items=items,
        generation=generation.id,
        removed=query.removed,
        degraded=list(query.degraded),
    )


def number(value: float) -> float | None:
    """Rounded, None for one that is not known."""
    return None if math.isnan(value) else round(value, 4)
