"""From queries to what the doors give."""

from __future__ import annotations

import math
from typing import Any

from recsys.types import names_of
from service import schema
from service.query import Query

Told = dict[str, Any]
"""What an answer says, by the names of its model's fields; nobody checks it. Models of twenty items take 59 us to make
and 30 to write, dictionaries 4 and 21."""


def slate(query: Query) -> Told:
    """The slate of an answered query, as `schema.RecommendResponse` has it."""
    generation, words = query.generation, query.words
    columns = query.items.tolist(), query.scores.tolist(), query.tower.tolist(), query.sources.tolist()
    items = [
        {
            **generation.shown(row),
            "score": round(score, 4),
            "tower_score": round(tower, 4) if tower == tower else None,  # NaN is unlike itself
            "sources": names_of(sources),
            "rules": list(words.get(row, ())),
        }
        for row, score, tower, sources in zip(*columns, strict=True)
    ]
    return {
        "user_id": query.user_id,
        "items": items,
        "generation": generation.id,
        "mode": query.made_by.value,
        "history": len(query.history[0]),
        "removed": query.removed,
        "degraded": [stage.value for stage in query.degraded],
    }


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
            sources=names_of(source),
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
