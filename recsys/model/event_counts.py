"""The counts of the events of all users in the last minutes and hours, as the store has them: by the ids of items.

Serving and flows read `EventCounts` from the store. A training has the events of its log (`Log.recent_events`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.kernels.recent_events import NO_EVENTS, ItemEvents, RecentEvents
from recsys.types import I32, PAD


@dataclass(frozen=True, eq=False)
class EventCounts:
    """The counts of the store at one moment, by the number of an item: its place in `names`.

    names: the ids of items. Further ids may be appended, none changes.
    """

    names: Sequence[str]
    by_minute: ItemEvents
    by_hour: ItemEvents

    def of_places(self, numbers: I32) -> RecentEvents:
        """The counts of the items of one generation. numbers: of each item, PAD for an item without a number."""
        return RecentEvents(self.by_minute, self.by_hour, numbers)


NO_COUNTS = EventCounts((), NO_EVENTS.by_minute, NO_EVENTS.by_hour)


class ItemNumbers:
    """The numbers of one generation's items among the names of counts; a name is looked up once."""

    def __init__(self, find: Callable[[Sequence[str]], Sequence[int | None]], n: int) -> None:
        """find: returns the rows of ids in the generation, which has n items."""
        self._find, self._n = find, n
        self._last: tuple[Sequence[str], int, I32, dict[str, int]] = (), 0, self._none(), {}

    def of(self, names: Sequence[str], added: Mapping[str, int]) -> I32:
        """The number of each item, then of each added one; PAD for an item that is not named.

        added: the places of items that `find` does not know, ascending from n on.
        """
        last, count, numbers, unknown = self._last
        if last is not names:
            count, numbers, unknown = 0, self._none(), {}
        if new := names[count:]:  # copied before a change: another thread may read the arrays of the last call
            numbers, unknown = numbers.copy(), dict(unknown)
            for number, (name, row) in enumerate(zip(new, self._find(new), strict=True), count):
                if row is None:
                    unknown[name] = number
                else:
                    numbers[row] = number
        self._last = names, count + len(new), numbers, unknown
        return np.append(numbers, np.array([unknown.get(name, PAD) for name in added], np.int32)) if added else numbers

    def _none(self) -> I32:
        return np.full(self._n, PAD, np.int32)
