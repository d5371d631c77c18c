"""Computes the slates (ordered lists of recommended items) that the service must return, to check its answers in tests.

They come from a generation's folder of models and tables alone, without a service and a store.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.generation.manifest import GenerationFolder
from recsys.kernels import time_features
from recsys.lists.user_record import UserRecord
from recsys.model.history import hidden_rows, without_revoked
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.types import CLOCK, PAD, Histories

CLOSE = 2e-3
"""Largest difference of two equal scores: answers have four decimals."""

UNCOUNTED_AGE = 2 * 86_400.0
"""Age in seconds of an event that no feature of an item counts: the longest window is a day."""


class ExpectedSlates:
    """The slates of one generation, for users without an event since the training, while no item has newer events."""

    def __init__(self, folder: GenerationFolder) -> None:
        self._retriever, self._ranker = Retriever.load(folder), Ranker.load(folder)
        self._tables, self._spec, self._seen_rule = folder.tables(), folder.spec(), folder.manifest.seen_rule
        ids, blobs = folder.users()
        self._records = {ids[row]: UserRecord.unpack(blobs.bytes_at(row)) for row in range(len(ids))}
        self._known: dict[tuple[Any, ...], list[tuple[str, float, float]]] = {}

    def agrees(self, answer: dict[str, Any], now: float) -> bool:
        """Whether items, scores and tower scores are those of this generation, at a moment or 5 s before."""
        found = [(str(item["item_id"]), item["score"], item["tower_score"]) for item in answer["items"]]
        known = "store" not in answer["degraded"]
        return any(_alike(found, self._slate(answer["user_id"], len(found), now - back, known)) for back in (0, 5))

    def _slate(self, user: int | str, k: int, now: float, known: bool) -> list[tuple[str, float, float]]:
        record = self._records.get(str(user), UserRecord.empty()) if known else UserRecord.empty()
        histories = Histories.empty(np.array([now]))
        histories.put(0, *without_revoked((record.items, record.times, record.types), self._spec.negative_types))
        histories.context[:, :CLOCK] = time_features.clock(histories.now)
        key = (user, k, known, *histories.context[0].tolist(), int(time_features.waits(histories)[0]))
        if key not in self._known:
            self._known[key] = self._compute(histories, record, k)
        return self._known[key]

    def _compute(self, histories: Histories, record: UserRecord, k: int) -> list[tuple[str, float, float]]:
        found = self._retriever.retrieve(histories)
        scores, items = self._ranker.score(histories, found)[0], found.items[0]
        shown = (items != PAD) & self._tables.available[items]
        past = record.items, record.times, record.types
        shown &= ~np.isin(items, hidden_rows(record, past, self._seen_rule, self._spec, float(histories.now[0])))
        best = [at for at in np.argsort(-scores, kind="stable") if shown[at]][:k]
        return [(self._tables.ids[int(items[at])], float(scores[at]), float(found.tower[0, at])) for at in best]


def _alike(found: list[tuple[str, float, float]], expected: list[tuple[str, float, float]]) -> bool:
    return len(found) == len(expected) and all(
        ours[0] == theirs[0] and all(abs(a - b) < CLOSE for a, b in zip(ours[1:], theirs[1:], strict=True))
        for ours, theirs in zip(found, expected, strict=True)
    )
