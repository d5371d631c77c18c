"""A walk through the catalogue for what may stand at the next place of a slate."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

import numpy as np

from recsys.rules.caps import Caps
from recsys.types import I32, Bool

NO_ROWS = np.zeros(0, np.int32)


class Walk:
    """Finds the first row of some blocks that may be shown, fits under the caps and is not taken.

    blocks: begins anew. may: which rows are wanted. Looks through no block twice, unless a cap ended.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterator[I32]],
        may: Callable[[I32], Bool],
        content: Callable[[I32], I32],
        caps: Caps,
    ) -> None:
        self._begin, self._may, self._content, self._caps = blocks, may, content, caps
        self.again()

    def again(self) -> None:
        """Begin anew: what did not fit may now."""
        self._blocks, self._ready, self._filled = self._begin(), NO_ROWS, self._caps.filled

    def next(self, taken: Container[int]) -> int | None:
        """The first row for the next place; None where there is none in all blocks."""
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
            self._ready = self._ready[self._may(self._ready)]

    def _fitting(self, rows: I32) -> I32:
        fitting: I32 = rows[self._caps.fit(self._content(rows))] if self._caps else rows
        return fitting
