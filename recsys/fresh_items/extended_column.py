"""A column of the item tables (one row per item), extended by items added after training, without copying it."""

from __future__ import annotations

import numpy as np

from recsys.kernels.jit import contiguous
from recsys.kernels.kernel_table import KernelTable
from recsys.types import I32, PAD, Bool

NO_ROWS: I32 = np.zeros(0, np.int32)


class ExtendedColumn:
    """base [n, ...] with rows 0 to n - 1, and tail [m, ...] with `rows` [m]: from n on, ascending, with gaps.

    Indexed with an array of rows, it returns what one array of all rows would return. Check other rows by `knows`
    first: an unknown row returns a wrong value.
    """

    def __init__(self, base: np.ndarray, rows: I32, tail: np.ndarray) -> None:
        self.base = np.asarray(base)
        self.rows = rows
        self.tail = tail

    def __len__(self) -> int:
        """One more than the largest row."""
        return int(self.rows[-1]) + 1 if len(self.rows) else len(self.base)

    def __getitem__(self, rows: I32) -> np.ndarray:
        found: np.ndarray = self.base[np.minimum(rows, len(self.base) - 1)]
        late = rows >= len(self.base)
        if late.any():
            found[late] = self.tail[np.searchsorted(self.rows, rows[late])]
        return found

    def max(self, initial: int = 0) -> int:
        """The largest value."""
        return max(int(self.base.max(initial=initial)), int(self.tail.max(initial=initial)))

    def holds(self, rows: I32) -> Bool:
        """Whether each row is in the column or PAD."""
        known: Bool = (rows >= PAD) & (rows < len(self.base))
        if not known.all() and len(self.rows):
            at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
            known |= self.rows[at] == rows
        return known


def table(column: np.ndarray | ExtendedColumn) -> KernelTable:
    """A column [n, ...] in the form for kernels."""
    if isinstance(column, ExtendedColumn):
        return KernelTable(column.base, contiguous(column.rows), contiguous(column.tail))
    return KernelTable(np.asarray(column), NO_ROWS, np.zeros((0, *column.shape[1:]), column.dtype))


def base(column: np.ndarray | ExtendedColumn) -> np.ndarray:
    """A column without the rows of added items."""
    return column.base if isinstance(column, ExtendedColumn) else column
