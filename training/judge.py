"""How good towers are on the ranker's labels, which they do not know: what decides how long towers train."""

from __future__ import annotations

import numpy as np

from recsys.towers import Towers, UserEncoder
from training.evaluate import CELLS, places
from training.fit import Judge, item_embeddings
from training.split import Split

QUERIES = 3_000
CUT_OFF = 100
"""NDCG@100: towers find candidates, so a target at the fiftieth place counts, and the first counts more."""


def tower_judge(parts: Split, seed: int) -> Judge | None:
    """NDCG@100 of a sample of the label queries, full ranking; None where there are no labels."""
    queries = parts.label_queries()
    if not queries:
        return None
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(queries), min(len(queries), QUERIES), replace=False))
    events = np.array([queries[at][0] for at in chosen])
    histories, wanted = parts.label_past(events), parts.before_test.items[events]
    content, hidden = parts.log.catalogue.content, ~parts.ranked

    def judge(towers: Towers) -> float:
        embeddings = item_embeddings(towers, content)
        users = UserEncoder(towers.user, embeddings).encode(histories)
        gain = 0.0
        rows = max(1, CELLS // len(embeddings))
        for start in range(0, len(events), rows):
            chunk = slice(start, start + rows)
            scores = users[chunk] @ embeddings.T
            scores[:, hidden] = -np.inf
            place = places(scores, np.arange(len(scores)), wanted[chunk])
            gain += float((1 / np.log2(place[place < CUT_OFF] + 2)).sum())
        return gain / len(events)

    return judge
