"""The response of the benchmark's other servers as pydantic models: a slate, the ordered list of recommended items."""

from __future__ import annotations

from pydantic import BaseModel

from loadtests.bench.peers.engine import Engine, Ranked


class Item(BaseModel):
    """An item of a slate."""

    item_id: int | str
    title: str
    score: float


class Slate(BaseModel):
    """The answer to a request."""

    user_id: int | str
    items: list[Item]
    degraded: list[str] = []

    @classmethod
    def of(cls, user_id: int | str, ranked: Ranked, engine: Engine) -> Slate:
        """Item rows with their ids and titles."""
        items = []
        for row, score in ranked:
            item_id, title = engine.item(row)
            items.append(Item(item_id=item_id, title=title, score=round(score, 4)))
        return cls(user_id=user_id, items=items)
