"""Apply the business rule `quota`, at least N new items among the first places, and scan the catalogue for more items.

The scan finds the next item that filters and caps allow, for a quota and for a place that no candidate fits.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping

import numpy as np

from recsys.fresh_items.extended_column import NO_ROWS
from recsys.rules.caps import Caps
from recsys.rules.catalogue import Catalogue
from recsys.rules.rules_schema import Quota
from recsys.types import I32, Bool


class CatalogueScan:
    """Scans blocks of rows in order, and reads no block twice unless `restart` is called.

    blocks: starts a scan. allowed: which rows may be shown. content: the content tokens of rows. caps: of the slate.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterator[I32]],
        allowed: Callable[[I32], Bool],
        content: Callable[[I32], I32],
        caps: Caps,
    ) -> None:
        self._start, self._allowed, self._content, self._caps = blocks, allowed, content, caps
        self.restart()

    def restart(self) -> None:
        """Start again from the first block, after a cap ended: rows that did not fit may fit now."""
        self._blocks, self._ready, self._filled = self._start(), NO_ROWS, self._caps.filled

    def next(self, taken: Container[int]) -> int | None:
        """The first row that is allowed, fits under the caps and is not taken; None if no row is left."""
        if self._filled != self._caps.filled:
            self._ready, self._filled = self._fitting(self._ready), self._caps.filled
        while True:
            for at, row in enumerate(self._ready.tolist()):
                if row not in taken:
                    self._ready = self._ready[at:]
                    return int(row)
            block = next(self._blocks, None)
            if block is None:
                self._ready = NO_ROWS
                return None
            self._ready = self._fitting(block)
            self._ready = self._ready[self._allowed(self._ready)]

    def _fitting(self, rows: I32) -> I32:
        fitting: I32 = rows[self._caps.fit(self._content(rows))] if self._caps else rows
        return fitting


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
