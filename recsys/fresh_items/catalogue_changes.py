"""Changes to the item catalogue since training, through PUT /items (puts): new items, new titles and availability.

Models and tables name an item by its row number. A new item's row is the number of trained items plus the item's serial
number (`seq`), so that all processes compute the same row and no row is used for another item. Rows have gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys.fresh_items.extended_column import ExtendedColumn
from recsys.fresh_items.put_items import PutItem, PutItems
from recsys.types import F64, I32, Bool

Find = Callable[[Sequence[str]], Sequence[int | None]]
"""From ids to the generation's rows; None for an item that the generation lacks."""


@dataclass(frozen=True)
class CatalogueChanges:
    """The new items of a generation, and the changes to its own.

    rows: [m] int32, ascending, of the new `items`. put_at: [m] float64 unix seconds, the last put of each. titles: the
    new titles of the generation's items, by row. available: for all rows. hidden: rows of the generation's items that
    a put hides.
    """

    rows: I32
    items: tuple[PutItem, ...]
    put_at: F64
    titles: dict[int, str]
    available: ExtendedColumn
    hidden: I32

    @classmethod
    def of(cls, puts: PutItems, find: Find, available: Bool, until: float) -> CatalogueChanges:
        """The changes to a generation with items that are `available` [n] or not, from data that ends at `until`.

        Puts do not change row and content of the generation's own items. Title and availability change if they were put
        after `until`.
        """
        n = len(available)
        found = find([item.text for item in puts.items])
        new = tuple(item for item, row in zip(puts.items, found, strict=True) if row is None)
        own = [(row, item) for row, item in zip(found, puts.items, strict=True) if row is not None]
        put = {row: item.available for row, item in own if item.available_at > until}
        changed = {row: shown for row, shown in put.items() if shown != available[row]}
        now = np.asarray(available)
        if changed:
            now = now.copy()
            now[[*changed]] = [*changed.values()]
            now.flags.writeable = available.flags.writeable  # Numba compiles a kernel again for the other kind
        rows = np.array([n + item.seq for item in new], np.int32)
        return cls(
            rows=rows,
            items=new,
            put_at=np.array([item.put_at for item in new], np.float64),
            titles={row: item.title for row, item in own if item.title is not None and item.title_at > until},
            available=ExtendedColumn(now, rows, np.array([item.available for item in new], bool)),
            hidden=np.array(sorted(row for row, shown in changed.items() if not shown), np.int32),
        )

    @cached_property
    def by_id(self) -> dict[str, int]:
        """The row of each new item by its id."""
        return {item.text: int(row) for item, row in zip(self.items, self.rows, strict=True)}

    @cached_property
    def by_row(self) -> dict[int, PutItem]:
        """The new items by their row."""
        return dict(zip(self.rows.tolist(), self.items, strict=True))

    @cached_property
    def newest(self) -> I32:
        """The rows of new items, the last put first."""
        newest: I32 = self.rows[np.lexsort((self.rows, self.put_at))[::-1]]
        return newest

    @cached_property
    def values(self) -> frozenset[tuple[str, str]]:
        """Every column of the new items' content with each of its values."""
        content = ((column, value) for item in self.items for column, value in item.content.items())
        return frozenset(
            (column, str(each)) for column, value in content for each in (value if isinstance(value, list) else [value])
        )

    def put_since(self, rows: I32, moment: float) -> Bool:
        """Which of any rows are new items whose last put came at a moment or later."""
        if not len(self.rows):
            return np.zeros(len(rows), bool)
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        since: Bool = (self.rows[at] == rows) & (self.put_at[at] >= moment)
        return since

    @property
    def hidden_count(self) -> int:
        """The number of items that puts hide, own and new ones."""
        return len(self.hidden) + int((~self.available.tail).sum())

    def shows(self, rows: I32) -> Bool:
        """Which of any rows are available items; False for a row that this process has not received."""
        known = self.available.holds(rows)
        shown = np.zeros(len(rows), bool)
        shown[known] = self.available[rows[known]]
        return shown
