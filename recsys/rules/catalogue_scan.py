"""Scan the item catalogue for the next item that filters and caps allow, to fill a place that no candidate fits."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

import numpy as np

from recsys.rules.caps import Caps
from recsys.types import I32, Bool

NO_ROWS = np.zeros(0, np.int32)


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
                    return row
            block = next(self._blocks, None)
            if block is None:
                self._ready = NO_ROWS
                return None
            self._ready = self._fitting(block)
            self._ready = self._ready[self._allowed(self._ready)]

    def _fitting(self, rows: I32) -> I32:
        fitting: I32 = rows[self._caps.fit(self._content(rows))] if self._caps else rows
        return fitting
