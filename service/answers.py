"""From queries to what the doors give."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from recsys.types import names_of
from service import schema
from service.query import Query

M = TypeVar("M", bound=BaseModel)


def slate(query: Query) -> schema.RecommendResponse:
    """The slate of an answered query."""
    generation, words = query.generation, query.words
    rows, flags = query.items.tolist(), query.sources.tolist()
    numbers = np.stack([query.scores, query.tower]).astype(np.float64).round(4).tolist()
    items = [
        _made(
            schema.ScoredItem,
            {
                "item_id": generation.item_id(row),
                "title": generation.title(row),
                "score": score,
                "tower_score": tower if tower == tower else None,  # NaN is unlike itself
                "sources": names_of(sources),
                "rules": list(words.get(row, ())),
            },
        )
        for row, score, tower, sources in zip(rows, *numbers, flags, strict=True)
    ]
    told = {
        "user_id": query.user_id,
        "items": items,
        "generation": generation.id,
        "mode": query.made_by.value,
        "history": len(query.history[0]),
        "removed": query.removed,
        "degraded": list(query.degraded),
    }
    return _made(schema.RecommendResponse, told)


def _made(kind: type[M], values: dict[str, Any]) -> M:
    """A model with a value for each of its fields, which nobody checks: as one that is unpickled.

    `model_construct` looks each field up, by name and by aliases: for a slate of twenty items that takes longer than
    all filters and rules.
    """
    made = kind.__new__(kind)
    made.__setstate__(
        {
            "__dict__": values,
            "__pydantic_fields_set__": _fields(kind),
            "__pydantic_extra__": None,
            "__pydantic_private__": None,
        }
    )
    return made


@cache
def _fields(kind: type[BaseModel]) -> set[str]:
    return set(kind.__pydantic_fields__)


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
