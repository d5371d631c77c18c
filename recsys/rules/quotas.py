"""Apply the business rule `quota`: at least N new items among the first places of the recommended items.

New items are counted while the list is filled, to find when the next place needs one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recsys.rules.caps import Caps
from recsys.rules.catalogue import Catalogue
from recsys.rules.catalogue_scan import CatalogueScan
from recsys.rules.rules_schema import Quota
from recsys.types import I32, Bool


class QuotaCount:
    """One quota of one slate of k items.

    new: which candidates are new. scan: through the newest items of the catalogue, None until it is needed.
    """

    def __init__(self, quota: Quota, k: int, items: I32, pins: Mapping[int, int], catalogue: Catalogue) -> None:
        self.days = quota.new_within_days
        self.new = catalogue.is_new(items, self.days)
        self.scan: CatalogueScan | None = None
        self._catalogue = catalogue
        self._wanted, self._within = quota.at_least, min(quota.within, k)
        self._pins = [place for place in pins if place <= self._within]
        self._new_pins = [place for place in self._pins if self._is_new(pins[place])]
        self._count = 0

    def count(self, row: int, place: int) -> None:
        """Count the item at a place."""
        if place <= self._within:
            self._count += self._is_new(row)

    def due(self, place: int) -> bool:
        """Whether the quota needs every place from this one on that has no pin."""
        if place > self._within:
            return False
        left = self._within - place + 1 - sum(pin > place for pin in self._pins)
        return self._wanted - self._count - sum(pin > place for pin in self._new_pins) >= left

    def newest(self, caps: Caps) -> CatalogueScan:
        """The scan through the items of the catalogue that are new and allowed, the newest first."""
        if self.scan is None:
            self.scan = CatalogueScan(self._catalogue.newest, self._allowed, self._catalogue.content, caps)
        return self.scan

    def _allowed(self, rows: I32) -> Bool:
        allowed = self._catalogue.is_new(rows, self.days)
        allowed[allowed] = self._catalogue.allowed(rows[allowed])
        return allowed

    def _is_new(self, row: int) -> bool:
        return bool(self._catalogue.is_new(np.array([row], np.int32), self.days)[0])
