"""Caps while a slate grows: how often each value stands in it, and which items may come next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys.rules.compiled_rules import CompiledCap
from recsys.types import I32, Bool


class Caps:
    """Counts the values of the items that are placed. Any cap that an item's values have filled keeps it out."""

    def __init__(self, caps: Sequence[CompiledCap]) -> None:
        self._caps = caps
        self._counts = [dict.fromkeys(cap.tokens.tolist(), 0) for cap in caps]
        self._full = np.zeros(max((cap.vocabulary for cap in caps), default=0), bool)
        self._placed = 0
        self.filled = 0
        """Goes up whenever fewer items fit than before."""

    def __bool__(self) -> bool:
        return bool(self._caps)

    def fit(self, content: I32) -> Bool:
        """Which items of content [n, C] may stand at the next place."""
        if not self:
            return np.ones(len(content), bool)
        fitting: Bool = np.logical_not(self._full[content].any(axis=1))
        return fitting

    def place(self, content: I32) -> bool:
        """Count an item of content [C] at the next place; whether a cap ends there, so that more fit behind it."""
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
            self._fill_again()
        return ended

    def named(self, content: I32) -> str:
        """The first cap that keeps an item of content [C] from the next place, in words."""
        return next(
            f"cap {cap.names[token]}"
            for cap, counts in self._in_force()
            for token in content.tolist()
            if counts.get(token, 0) >= cap.at_most
        )

    def _fill_again(self) -> None:
        self._full[:] = False
        for cap, counts in self._in_force():
            self._full[[token for token, count in counts.items() if count >= cap.at_most]] = True

    def _in_force(self) -> Sequence[tuple[CompiledCap, dict[int, int]]]:
        pairs = zip(self._caps, self._counts, strict=True)
        return [(cap, counts) for cap, counts in pairs if self._placed < cap.within]
