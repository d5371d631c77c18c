"""Recommender of the benchmark's other servers: from a user's history to a slate, the ordered list of the best items.

A server may split the steps among processes. `PlainRecommender` and `KernelRecommender` differ in how they find
candidates and score them; all else is here.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

import numpy as np
from pydantic import BaseModel

from recsys.generation.manifest import GenerationFolder
from recsys.lists.user_record import UserRecord
from recsys.model.history import History, assemble, hidden_rows, stack
from recsys.store.stored_types import UserState
from recsys.types import F32, I32, U16, Histories

Ranked = list[tuple[int, float]]
"""Item rows and their scores, best first."""


class Engine(ABC):
    """Computes slates of one generation, a request at a time."""

    def __init__(self, folder: GenerationFolder) -> None:
        self.manifest, self.tables = folder.manifest, folder.tables()
        self.exclude_seen = self.manifest.seen_rule.everything
        self._spec = folder.spec()

    @abstractmethod
    def candidates(self, past: Histories) -> tuple[I32, F32, U16]:
        """Item rows, tower scores and sources for one user, best tower score first."""

    @abstractmethod
    def scores(self, past: Histories, items: I32, tower: F32, sources: U16) -> F32:
        """The ranker's score of each candidate."""

    def slate(self, state: UserState, k: int) -> Ranked:
        """The k best items for a user, from the state that the store has of them."""
        record = UserRecord.unpack(state.record)
        history = self.history(record, state)
        past = stack([history], [time.time()])
        items, tower, sources = self.candidates(past)
        return self.best(items, self.scores(past, items, tower, sources), record, history, k)

    def history(self, record: UserRecord, state: UserState) -> History:
        """What a user did, oldest first."""
        return assemble(record, state.events, self.tables.ids.rows_of, self._spec.type_row)

    def best(self, items: I32, scores: F32, record: UserRecord, history: History, k: int) -> Ranked:
        """The k best candidates that the dataset's `exclude_seen` does not hide."""
        hidden = hidden_rows(record, history, self.manifest.seen_rule, self._spec, time.time())
        scores = np.where(np.isin(items, hidden), -np.inf, scores)
        order = np.argsort(-scores, kind="stable")[:k]
        return list(zip(items[order].tolist(), scores[order].tolist(), strict=True))


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
        """Item rows with their ids, as they came, and titles."""
        tables, numeric = engine.tables, engine.manifest.settings["item_id_type"] == "int"
        items = [
            Item(
                item_id=int(tables.ids[row]) if numeric else tables.ids[row],
                title=tables.titles[row],
                score=round(score, 4),
            )
            for row, score in ranked
        ]
        return cls(user_id=user_id, items=items)
