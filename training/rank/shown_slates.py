"""Which of the slates that users were shown train the ranker, and which newer ones measure it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys.types import Bool
from training.rank.position_bias import PositionBias, measure
from training.read.impressions import ShownItems

NEWEST = 0.1
"""Share of the slates, the newest, that train nothing and measure the ranker."""


@dataclass(frozen=True)
class ShownSlates:
    """The slates that users were shown, for one training. test: when the test window of the log begins.

    seconds: that the reading took.
    """

    shown: ShownItems
    test: float
    seconds: float = 0.0

    @cached_property
    def end(self) -> float:
        """When the held-out slates begin: with the test window, or with the newest tenth if that is earlier."""
        times = self.shown.times
        return min(self.test, float(np.quantile(times, 1 - NEWEST))) if len(times) else self.test

    @property
    def held_out(self) -> Bool:
        """The slates that train nothing and measure the ranker: [S] bool."""
        later: Bool = self.shown.times >= self.end
        return later

    @property
    def trains(self) -> Bool:
        """The slates whose labels were complete before the held-out slates began: [S] bool."""
        earlier: Bool = self.shown.until <= self.end
        return earlier & ~self.held_out

    @property
    def bias(self) -> PositionBias:
        """The position bias of the items whose labels were complete before the held-out slates began."""
        drawn = self.shown.drawn
        return measure(drawn[drawn["labelled_until"] <= self.end])
