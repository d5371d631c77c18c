"""Choose diverse items for a recommendation list by maximal marginal relevance: high score, low similarity to the rest.

Carbonell and Goldstein, "The Use of MMR", SIGIR 1998.
"""

from __future__ import annotations

import numpy as np

from recsys.rules.rules_schema import Diversity
from recsys.types import F32, Bool


class MarginalRelevance:
    """Chooses candidates that are relevant and not similar to the items of the slate.

    scores: [n], the highest first. embeddings: [n, d], of length 1 or 0.
    """

    def __init__(self, diversity: Diversity, scores: F32, embeddings: F32) -> None:
        self._weight, self._among = diversity.weight, diversity.among
        least, most = (float(scores[-1]), float(scores[0])) if len(scores) else (0.0, 0.0)
        self._relevance = ((scores - least) / ((most - least) or 1.0)).astype(np.float32)
        self._embeddings = embeddings
        self._similarity = np.zeros(len(scores), np.float32)

    def best(self, eligible: Bool) -> int:
        """The place of the best of the first `among` eligible candidates."""
        places = np.flatnonzero(eligible)[: self._among]
        worth = (1 - self._weight) * self._relevance[places] - self._weight * self._similarity[places]
        return int(places[np.argmax(worth)])

    def add(self, embedding: F32) -> None:
        """Add an item to the slate."""
        self._similarity = np.maximum(self._similarity, self._embeddings @ embedding)
