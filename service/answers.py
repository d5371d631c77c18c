"""From queries to what the doors give."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recsys.types import F32, names_of
from service import schema
from service.query import Query

Told = dict[str, Any]
"""What an answer says, by the names of its model's fields; nobody checks it. Models of twenty items take 59 us to make
and 30 to write, dictionaries 26 and 16, what they are made of included."""


def slate(query: Query) -> Told:
    """The slate of an answered query, as `schema.RecommendResponse` has it."""
    generation, words = query.generation, query.words
    columns = query.items.tolist(), _rounded(query.scores), _known(_rounded(query.tower)), query.sources.tolist()
    items = [
        {
            **generation.shown(row),
            "score": score,
            "tower_score": tower,
            "sources": names_of(sources),
            "rules": words.get(row, ()),
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


def _rounded(scores: F32) -> list[float]:
    """To four places, all at once: forty numbers one by one, and copies of words, took half of a slate's time."""
    told: list[float] = np.round(scores.astype(np.float64), 4).tolist()
    return told


def _known(scores: list[float]) -> list[float | None]:
    """None for what is not known."""
    return [score if score == score else None for score in scores]  # NaN is unlike itself


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
    )


def number(value: float) -> float | None:
    """Rounded, None for one that is not known."""
    return None if math.isnan(value) else round(value, 4)
