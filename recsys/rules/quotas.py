"""Quotas while a slate grows: how many new items stand in it, and when one has to come."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recsys.rules.caps import Caps
from recsys.rules.catalogue import Catalogue
from recsys.rules.document import Quota
from recsys.rules.walk import Walk
from recsys.types import I32, Bool


class QuotaCount:
    """One quota of one slate of k. new: mask of the candidates. walk: through other new items, once it began."""

    def __init__(self, quota: Quota, k: int, items: I32, pins: Mapping[int, int], catalogue: Catalogue) -> None:
        self.days = quota.new_within_days
        self.new = catalogue.is_new(items, self.days)
        self.walk: Walk | None = None
        self._catalogue = catalogue
        self._wanted, self._within = quota.at_least, min(quota.within, k)
        self._pins = [place for place in pins if place <= self._within]
        self._new_pins = [place for place in self._pins if self._is_new(pins[place])]
        self._have = 0

    def count(self, row: int, place: int) -> None:
        """Count what was put at a place."""
        if place <= self._within:
            self._have += self._is_new(row)

    def due(self, place: int) -> bool:
        """Whether every place from this one on that no pin has is needed for new items."""
        if place > self._within:
            return False
        left = self._within - place + 1 - sum(pin > place for pin in self._pins)
        return self._wanted - self._have - sum(pin > place for pin in self._new_pins) >= left

    def newest(self, caps: Caps) -> Walk:
        """A walk through the newest items of the catalogue, as far as they are new."""
        if self.walk is None:
            self.walk = Walk(self._catalogue.newest, self._may, self._catalogue.content, caps)
        return self.walk

    def _may(self, rows: I32) -> Bool:
        may = self._catalogue.is_new(rows, self.days)
        may[may] = self._catalogue.allowed(rows[may])
        return may

    def _is_new(self, row: int) -> bool:
        return bool(self._catalogue.is_new(np.array([row], np.int32), self.days)[0])
