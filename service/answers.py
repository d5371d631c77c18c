"""From queries to what the doors give; slates are told by `json_slates` and `rpc.slates`."""

from __future__ import annotations

import math

from recsys.types import names_of
from service import schema
from service.query import Query


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
