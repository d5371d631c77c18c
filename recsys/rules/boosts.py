"""Apply the business rules `boost` and `bury`: raise or lower the scores of the items that a rule names.

A rule moves a score by a number of standard deviations of all candidates' scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys.filters.compiled_conditions import meets
from recsys.rules.catalogue import Catalogue
from recsys.rules.compiled_rules import CompiledBoost
from recsys.types import F32, I32

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
