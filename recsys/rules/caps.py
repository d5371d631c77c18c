"""Apply the business rule `cap`: at most N recommended items with the same value of a column, such as the category.

The items of each value are counted while the slate (the ordered list of recommended items) is filled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys.rules.compiled_rules import CompiledCap
from recsys.types import I32, Bool


class Caps:
    """Counts the values of the items in a slate. An item does not fit if one of its values has reached a cap."""

    def __init__(self, caps: Sequence[CompiledCap]) -> None:
        self._caps = caps
        self._counts = [dict.fromkeys(cap.tokens.tolist(), 0) for cap in caps]
        self._full = np.zeros(max((cap.vocabulary for cap in caps), default=0), bool)
        self._placed = 0
        self.filled = 0
        """Increases whenever fewer items fit than before."""

    def __bool__(self) -> bool:
        return bool(self._caps)

    def fit(self, content: I32) -> Bool:
        """Which items of content [n, C] fit at the next place."""
        if not self:
            return np.ones(len(content), bool)
        fitting: Bool = np.logical_not(self._full[content].any(axis=1))
        return fitting

    def place(self, content: I32) -> bool:
        """Count an item of content [C] at the next place; return whether a cap ends there, so that more items fit."""
        self._placed += 1
        values = set(content.tolist())
        for cap, counts in zip(self._caps, self._counts, strict=True):
            if self._placed > cap.within:
                continue
            for token in values & counts.keys():
                counts[token] += 1
                if counts[token] == cap.at_most:
                    self._full[token] = True
                    self.filled += 1
        ended = any(cap.within == self._placed for cap in self._caps)
        if ended:
            self._full[:] = False
            for cap, counts in self._in_force():
                self._full[[token for token, count in counts.items() if count >= cap.at_most]] = True
        return ended

    def reason(self, content: I32) -> str:
        """The first cap that excludes an item of content [C] from the next place, in words."""
        return next(
            f"cap {cap.names[token]}"
            for cap, counts in self._in_force()
            for token in content.tolist()
            if counts.get(token, 0) >= cap.at_most
        )

    def _in_force(self) -> Sequence[tuple[CompiledCap, dict[int, int]]]:
        pairs = zip(self._caps, self._counts, strict=True)
        return [(cap, counts) for cap, counts in pairs if self._placed < cap.within]
