"""Items that were put while a generation is in force: what each put said, and all of them as one process knows them.

A snapshot is immutable and a process replaces it whole, so whoever holds one may read it without a lock. Knows no
store, no generation and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from recsys.types import Id

T = TypeVar("T")

ITEMS_EXPIRE = 90 * 86_400
"""Seconds after the last put of an item when what was said of it goes, as with users' events."""

CAPACITY = 10_000
"""Items put that are kept at once. Exact scores of so many beside a main index of 100,000 are a tenth of its work."""

HIDING_CAPACITY = 100_000
"""The same with those that are only hidden, which nothing scores: so many take a process 50 ms when one changes."""

CATEGORIES = "categories"
"""The content column that may hold several values."""


@dataclass(frozen=True, slots=True)
class Put:
    """What one put says of an item; None, or a column left out, is left as an earlier put or the generation has it."""

    item_id: Id
    title: str | None = None
    available: bool | None = None
    content: Mapping[str, object] = field(default_factory=dict)

    @property
    def only_available(self) -> bool | None:
        """What it says of availability; None where it says nothing of it, or anything else as well."""
        return self.available if self.title is None and not self.content else None


@dataclass(frozen=True, slots=True)
class PutItem:
    """An item as all its puts left it.

    seq: the number that the store gave it at its first put; no other item ever has it. version: of the last put.
    put_at, title_at, available_at: when the last put came, and the last that spoke of each, unix seconds.
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
    """All items that were put, by ascending seq, as of a version of an epoch: a store that was emptied begins anew."""

    epoch: str = ""
    version: int = 0
    items: tuple[PutItem, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def joined(self, changed: Iterable[PutItem], epoch: str, version: int) -> PutItems:
        """These and what changed since; of another epoch nothing is kept, since its numbers mean other items."""
        kept = {item.text: item for item in self.items} if epoch == self.epoch else {}
        kept |= {item.text: item for item in changed}
        return PutItems(epoch, version, tuple(sorted(kept.values(), key=lambda item: item.seq)))

    def unexpired(self, now: float) -> PutItems:
        """Without what was last put too long ago; itself where nothing was."""
        kept = tuple(item for item in self.items if item.put_at > now - ITEMS_EXPIRE)
        return self if len(kept) == len(self.items) else replace(self, items=kept)


NOTHING_PUT = PutItems()


class Latest(Generic[T]):
    """What is made of all that was put, made anew when that changed."""

    def __init__(self, make: Callable[[PutItems], T]) -> None:
        self._make = make
        self._held: tuple[PutItems, T] | None = None

    def of(self, puts: PutItems) -> T:
        """What these puts make; two threads may make it twice, and either is right."""
        held = self._held
        if held is None or held[0] is not puts:
            held = self._held = puts, self._make(puts)
        return held[1]
