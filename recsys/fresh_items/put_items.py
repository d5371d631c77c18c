"""Items added or changed after training by PUT /items: one change (a put), an item after its puts, and a snapshot.

A snapshot is immutable: a process replaces it by the next one, so that threads read it without a lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from recsys.types import Id

ITEMS_EXPIRE = 90 * 86_400
"""Seconds from the last put of an item to the deletion of its puts, as for events of users."""

CAPACITY = 10_000
"""Put items that are kept at once. To score them exactly takes a tenth of a search in 100,000 items."""

HIDING_CAPACITY = 100_000
"""The same with items that are only hidden, which are not scored. A change in so many takes a process 50 ms."""

CATEGORIES = "categories"
"""The content column that may hold several values."""


@dataclass(frozen=True, slots=True)
class Put:
    """The data of one put, a change of one item. None, or a column left out, changes nothing."""

    item_id: Id
    title: str | None = None
    available: bool | None = None
    content: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PutItem:
    """The state of an item after all its puts.

    seq: the number of the item's first put, which no other item has. version: of the last put. put_at, title_at,
    available_at: the time of the last put, of the last with a title and of the last with an availability, unix seconds.
    """

    item_id: Id
    seq: int
    version: int
    put_at: float
    title: str | None = None
    title_at: float = 0.0
    available: bool = True
    available_at: float = 0.0
    content: Mapping[str, object] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The id as text: 7 and "7" are one item."""
        return str(self.item_id)


@dataclass(frozen=True, slots=True)
class PutItems:
    """All put items by ascending seq, at a version of an epoch.

    The first put after a start or a failover of the store starts another epoch. Then all items are read again.
    """

    epoch: str = ""
    version: int = 0
    items: tuple[PutItem, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def joined(self, changed: Iterable[PutItem], epoch: str, version: int) -> PutItems:
        """The snapshot with changed items."""
        kept = {item.text: item for item in self.items}
        kept |= {item.text: item for item in changed}
        return PutItems(epoch, version, tuple(sorted(kept.values(), key=lambda item: item.seq)))

    def unexpired(self, now: float) -> PutItems:
        """The snapshot without expired items; the same object if none has expired."""
        kept = tuple(item for item in self.items if item.put_at > now - ITEMS_EXPIRE)
        return self if len(kept) == len(self.items) else replace(self, items=kept)


NOTHING_PUT = PutItems()
