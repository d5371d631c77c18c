"""What was put, as one generation sees it: items it does not know behind its own rows, and changes to those it knows.

The row of a fresh item is the generation's number of items plus the item's seq. Every process derives the same row
without asking another, and no row ever means two items; rows are sparse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys.fresh_items.grown_column import Grown
from recsys.fresh_items.put_items import PutItem, PutItems
from recsys.model.feature_spec import FeatureSpec
from recsys.types import F64, I32, Bool

Find = Callable[[Sequence[str]], Sequence[int | None]]
"""From ids to the generation's rows; None for an item it does not know."""

_Version = tuple[str, int, int, float]
"""An item as one put left it: a store that was emptied gives the same numbers again, to other items."""


@dataclass(frozen=True)
class FreshSegment:
    """The items of a generation and those put since.

    rows: [m] int32, ascending, of the fresh `items`. put_at: [m] float64 unix seconds, the last put of each. titles: of
    the generation's items that were renamed, by row. available: for any row, the generation's or a fresh one. hidden,
    shown: rows of the generation that a put changed.
    """

    rows: I32
    items: tuple[PutItem, ...]
    put_at: F64
    titles: dict[int, str]
    available: Grown
    hidden: I32
    shown: I32

    @classmethod
    def of(cls, puts: PutItems, find: Find, available: Bool, until: float) -> FreshSegment:
        """Join puts to a generation whose items are `available` [n] or not, by data that ends at `until`.

        An item that the generation knows is its own, row and content; what was said of its title and availability
        holds where it was said after the data's end.
        """
        n = len(available)
        found = find([item.text for item in puts.items])
        fresh = tuple(item for item, row in zip(puts.items, found, strict=True) if row is None)
        told_at = np.array([item.available_at for item in puts.items], np.float64)
        shown = np.array([item.available for item in puts.items], bool)
        at = np.array([-1 if row is None else row for row in found], np.int32)
        told = (at >= 0) & (told_at > until)
        changed, shown = at[told], shown[told]
        now = np.asarray(available)
        differ = now[changed] != shown
        changed, shown = changed[differ], shown[differ]
        if len(changed):
            now = now.copy()
            now[changed] = shown
            now.flags.writeable = available.flags.writeable  # or kernels would be compiled once more, by a request
        rows = np.array([n + item.seq for item in fresh], np.int32)
        return cls(
            rows=rows,
            items=fresh,
            put_at=np.array([item.put_at for item in fresh], np.float64),
            titles={
                row: item.title
                for item, row in zip(puts.items, found, strict=True)
                if row is not None and item.title is not None and item.title_at > until
            },
            available=Grown(now, rows, np.array([item.available for item in fresh], bool)),
            hidden=np.sort(changed[~shown]),
            shown=np.sort(changed[shown]),
        )

    @cached_property
    def by_id(self) -> dict[str, int]:
        """From a fresh item's id to its row."""
        return {item.text: int(row) for item, row in zip(self.items, self.rows, strict=True)}

    @cached_property
    def by_row(self) -> dict[int, PutItem]:
        """From a row to the fresh item."""
        return dict(zip(self.rows.tolist(), self.items, strict=True))

    @cached_property
    def newest(self) -> I32:
        """The rows, what was put last first."""
        newest: I32 = self.rows[np.lexsort((self.rows, self.put_at))[::-1]]
        return newest

    @cached_property
    def values(self) -> frozenset[tuple[str, str]]:
        """Every column of the fresh items' content with each of its values."""
        told = ((column, value) for item in self.items for column, value in item.content.items())
        return frozenset(
            (column, str(each)) for column, value in told for each in (value if isinstance(value, list) else [value])
        )

    def put_since(self, rows: I32, moment: float) -> Bool:
        """Which of any rows are fresh items whose last put came at a moment or later."""
        if not len(self.rows):
            return np.zeros(len(rows), bool)
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        since: Bool = (self.rows[at] == rows) & (self.put_at[at] >= moment)
        return since

    @property
    def hidden_count(self) -> int:
        """Items that puts hide, the generation's and fresh ones."""
        return len(self.hidden) + int((~self.available.tail).sum())

    def shows(self, rows: I32) -> Bool:
        """Which of any rows are items that may be shown; a row not heard of may not."""
        known = self.available.knows(rows)
        shown = np.zeros(len(rows), bool)
        shown[known] = self.available[rows[known]]
        return shown


class Kept:
    """What is computed for the items of a segment; of items that stayed as they were it is kept from the one before."""

    def __init__(self, make: Callable[[Sequence[PutItem]], tuple[np.ndarray, ...]]) -> None:
        """make: arrays [n, ...] for n items, for none too."""
        self._make = make
        self._held: tuple[dict[_Version, int], tuple[np.ndarray, ...]] = {}, make(())

    def of(self, items: Sequence[PutItem]) -> tuple[np.ndarray, ...]:
        """The arrays for these items; two threads may make them at once."""
        places, held = self._held
        versions = [(item.text, item.seq, item.version, item.put_at) for item in items]
        before = np.array([places.get(each, -1) for each in versions], np.int64)
        old, new = before >= 0, np.flatnonzero(before < 0)
        made = self._make([items[place] for place in new.tolist()]) if len(new) else [each[:0] for each in held]
        arrays = tuple(np.empty((len(items), *each.shape[1:]), each.dtype) for each in held)
        for array, kept, fresh in zip(arrays, held, made, strict=True):
            array[old], array[new] = kept[before[old]], fresh
        self._held = {each: place for place, each in enumerate(versions)}, arrays
        return arrays


def encoded(items: Sequence[PutItem], spec: FeatureSpec) -> tuple[I32, I32, F64]:
    """Content tokens [m, C], hashed tokens [m, C] and numbers [m, columns] of items.

    Content and numbers are what training gives a catalogue. Filters compare the hashed tokens, too; no model does.
    """
    told = [spec.ordered(item.content) for item in items]
    return spec.encode_items(told), spec.hashed_items(told), spec.encode_numbers(told)
