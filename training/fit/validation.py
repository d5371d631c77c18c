"""Validate the towers (the user and item networks) on events that did not train them, to choose the number of epochs.

The measure is NDCG@100 of the items that users took, on a sample of the queries that also train the ranker.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from recsys.model.towers import Towers
from recsys.model.user_encoder import UserEncoder
from recsys.types import F32, I32, Bool, Histories
from training.encode.split import Split
from training.fit.fit_towers import item_embeddings
from training.ranking_metrics import CELLS, ndcg, places

QUERIES = 3_000
CUT_OFF = 100
"""NDCG@100: towers retrieve candidates, so a target at place 50 counts, and the first place counts more."""


@dataclass(frozen=True)
class TowerValidation:
    """NDCG@100 of towers over some queries, in a full ranking.

    histories: of each query. targets: [Q] int32, the item of each query. content: that of the catalogue. hidden: [n]
    bool, items that the ranking leaves out. weights: [Q] float32, of the queries in the mean.
    """

    histories: Histories
    targets: I32
    content: I32
    hidden: Bool
    weights: F32

    def __call__(self, towers: Towers) -> float:
        """The weighted mean of the queries' NDCG."""
        embeddings = item_embeddings(towers, self.content)
        users = UserEncoder(towers.user, embeddings).encode(self.histories)
        placed, rows = [], max(1, CELLS // len(embeddings))
        for start in range(0, len(users), rows):
            chunk = slice(start, start + rows)
            scores = users[chunk] @ embeddings.T
            scores[:, self.hidden] = -np.inf
            placed.append(places(scores, np.arange(len(scores)), self.targets[chunk]))
        values = ndcg(np.concatenate(placed), np.arange(len(users)), CUT_OFF)
        return float(np.average(values, weights=self.weights))

    @property
    def key(self) -> str:
        """A hash of the queries: validations with one key give the same towers the same figure."""
        past, digest = self.histories, hashlib.sha256()
        arrays = past.items, past.times, past.types, past.now, past.context, self.targets, self.hidden, self.weights
        for array in arrays:
            digest.update(array.tobytes())
        return digest.hexdigest()


def tower_validation(parts: Split, seed: int) -> TowerValidation | None:
    """The validation on a sample of the label queries; None where there are no labels.

    The ranking is over the available items of `before_test`: the choice of the epoch must not know which items the
    test adds.
    """
    queries = parts.label_queries()
    if not queries:
        return None
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(queries), min(len(queries), QUERIES), replace=False))
    events = np.array([queries[at][0] for at in chosen])
    known, catalogue = parts.before_test, parts.log.catalogue
    shown = catalogue.available & (np.bincount(known.items, minlength=len(catalogue)) > 0)
    weights = known.grades[known.first_touch[events]]
    return TowerValidation(parts.label_past(events)[0], known.items[events], catalogue.content, ~shown, weights)
