"""Caches of values computed from items added after training (PUT /items): only new and changed items are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from recsys.fresh_items.put_items import PutItem, PutItems

T = TypeVar("T")

_Version = tuple[str, int, int, float]
"""Id, seq, version and time of an item's last put. After a store was emptied, other items have the same numbers."""


class SnapshotCache(Generic[T]):
    """Keeps what `make` returned for the last snapshot of added items."""

    def __init__(self, make: Callable[[PutItems], T]) -> None:
        self._make = make
        self._last: tuple[PutItems, T] | None = None

    def of(self, puts: PutItems) -> T:
        """The value for a snapshot. Two threads may compute it twice."""
        last = self._last
        if last is None or last[0] is not puts:
            last = self._last = puts, self._make(puts)
        return last[1]


class ItemArrayCache:
    """Keeps arrays with a row for each added item; `make` is called for new and changed items only."""

    def __init__(self, make: Callable[[Sequence[PutItem]], tuple[np.ndarray, ...]]) -> None:
        """make: arrays [n, ...] for n items, also for none."""
        self._make = make
        self._last: tuple[dict[_Version, int], tuple[np.ndarray, ...]] = {}, make(())

    def of(self, items: Sequence[PutItem]) -> tuple[np.ndarray, ...]:
        """The arrays for these items. Two threads may compute them at once."""
        places, last = self._last
        versions = [(item.text, item.seq, item.version, item.put_at) for item in items]
        before = np.array([places.get(each, -1) for each in versions], np.int64)
        old, new = before >= 0, np.flatnonzero(before < 0)
        made = self._make([items[place] for place in new.tolist()]) if len(new) else [each[:0] for each in last]
        arrays = tuple(np.empty((len(items), *each.shape[1:]), each.dtype) for each in last)
        for array, kept, added in zip(arrays, last, made, strict=True):
            array[old], array[new] = kept[before[old]], added
        self._last = {each: place for place, each in enumerate(versions)}, arrays
        return arrays
