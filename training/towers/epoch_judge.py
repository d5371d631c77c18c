"""How good towers are on the ranker's labels, which they do not know: what decides how long towers train."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from recsys.model.towers import Towers
from recsys.model.user_encoder import UserEncoder
from recsys.types import F32, I32, Bool, Histories
from training.evaluation.ranking import CELLS, places
from training.evaluation.split import Split
from training.towers.fit_towers import item_embeddings

QUERIES = 3_000
CUT_OFF = 100
"""NDCG@100: towers find candidates, so a target at the fiftieth place counts, and the first counts more."""


@dataclass(frozen=True)
class TowerJudge:
    """NDCG@100 of some queries, full ranking.

    histories: what is known to each. wanted: [Q] int32, the item that each is about. content: that of the catalogue.
    hidden: [n] bool, items that are left out of the ranking. weights: [Q] float32, how much each query counts.
    """

    histories: Histories
    wanted: I32
    content: I32
    hidden: Bool
    weights: F32

    def __call__(self, towers: Towers) -> float:
        """The mean gain of what the queries want."""
        embeddings = item_embeddings(towers, self.content)
        users = UserEncoder(towers.user, embeddings).encode(self.histories)
        gain = 0.0
        rows = max(1, CELLS // len(embeddings))
        for start in range(0, len(users), rows):
            chunk = slice(start, start + rows)
            scores = users[chunk] @ embeddings.T
            scores[:, self.hidden] = -np.inf
            place = places(scores, np.arange(len(scores)), self.wanted[chunk])
            gain += float((self.weights[chunk] * (place < CUT_OFF) / np.log2(place + 2)).sum())
        return gain / float(self.weights.sum())

    @property
    def key(self) -> str:
        """Names what it asks: judges of one key give the same towers the same figure."""
        past, digest = self.histories, hashlib.sha256()
        for array in (
            past.items,
            past.times,
            past.types,
            past.now,
            past.context,
            self.wanted,
            self.hidden,
            self.weights,
        ):
            digest.update(array.tobytes())
        return digest.hexdigest()


def tower_judge(parts: Split, seed: int) -> TowerJudge | None:
    """NDCG@100 of a sample of the label queries; None where there are no labels.

    The ranking is over the available items of `before_test`: the choice of the epoch must not know which items the
    test adds.
    """
    queries = parts.label_queries()
    if not queries:
        return None
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(queries), min(len(queries), QUERIES), replace=False))
    events = np.array([queries[at][0] for at in chosen])
    wanted = parts.before_test.items[events]
    weights = parts.before_test.grades[parts.before_test.first_touch[events]]
    catalogue = parts.log.catalogue
    known = np.bincount(parts.before_test.items, minlength=len(catalogue)) > 0
    return TowerJudge(parts.label_past(events)[0], wanted, catalogue.content, ~(catalogue.available & known), weights)
