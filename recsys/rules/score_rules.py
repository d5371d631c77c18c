"""Apply the business rules that change the order of candidates: `boost` and `bury` by score, and `diversity`.

A boost or a bury moves a score by a number of standard deviations of all candidates' scores. Diversity chooses by
maximal marginal relevance: high score, low similarity to the items chosen before (Carbonell and Goldstein, "The Use of
MMR", SIGIR 1998).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys.filters.compiled_conditions import meets
from recsys.rules.catalogue import Catalogue
from recsys.rules.compiled_rules import CompiledBoost
from recsys.rules.rules_schema import Diversity
from recsys.types import F32, I32, I64, Bool

MovedBy = dict[int, tuple[str, ...]]
"""The names of the rules that moved a row, by row."""


def boosted_scores(
    items: I32, scores: F32, boosts: Sequence[CompiledBoost], catalogue: Catalogue
) -> tuple[F32, MovedBy]:
    """The scores of items [n] after all boosts and buries, and the rows that they moved."""
    moved: MovedBy = {}
    if not boosts or not len(items):
        return scores, moved
    boosted, deviation = scores.copy(), float(np.std(scores)) or 1.0
    content, numbers = catalogue.content(items), catalogue.numbers(items)
    for boost in boosts:
        if boost.items:
            chosen = np.isin(items, catalogue.rows_of(boost.items))
        else:
            chosen = meets(boost.matches, content, numbers)
        boosted[chosen] += np.float32(boost.by * deviation)
        for row in items[chosen].tolist():
            moved[row] = (*moved.get(row, ()), boost.rule)
    return boosted, moved


class MarginalRelevance:
    """Chooses candidates that are relevant and not similar to the items of the slate.

    scores: [n], the highest first. embeddings: [n, d], of length 1 or 0.
    """

    def __init__(self, diversity: Diversity, scores: F32, embeddings: F32) -> None:
        self._weight, self._among = diversity.weight, diversity.among
        least, most = (float(scores[-1]), float(scores[0])) if len(scores) else (0.0, 0.0)
        self._range = (most - least) or 1.0
        self._relevance = ((scores - least) / self._range).astype(np.float32)
        self._embeddings = embeddings
        self._similarity = np.zeros(len(scores), np.float32)

    def best(self, eligible: Bool) -> int:
        """The place of the best of the first `among` eligible candidates."""
        places, worth = self._worth(eligible)
        return int(places[np.argmax(worth)])

    def values(self, eligible: Bool) -> F32:
        """The marginal relevance of candidates in the unit of the scores: [n], -inf where `best` does not look."""
        places, worth = self._worth(eligible)
        values = np.full(len(eligible), -np.inf, np.float32)
        values[places] = worth * self._range
        return values

    def _worth(self, eligible: Bool) -> tuple[I64, F32]:
        places = np.flatnonzero(eligible)[: self._among]
        return places, (1 - self._weight) * self._relevance[places] - self._weight * self._similarity[places]

    def add(self, embedding: F32) -> None:
        """Add an item to the slate."""
        self._similarity = np.maximum(self._similarity, self._embeddings @ embedding)
