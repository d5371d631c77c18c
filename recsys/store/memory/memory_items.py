"""Keep the items that are added after training through PUT /items in a dict, for unit tests without Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from recsys.fresh_items.put_items import CAPACITY, HIDING_CAPACITY, ITEMS_EXPIRE, Put, PutItem, PutItems
from recsys.types import Id


class MemoryItems:
    """`ItemReader` and `ItemWriter` over a dict; clock: returns unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._items: dict[str, PutItem] = {}
        self._hidden: set[str] = set()
        self._version = 0
        self._seq = 0

    def changes(self, known: PutItems) -> PutItems:
        if not self._version or self._version == known.version:
            return known
        changed = [item for item in self._items.values() if item.version > known.version]
        joined = known.joined(changed, "memory", self._version)
        if len(joined) > len(self._items):
            return PutItems().joined(self._items.values(), "memory", self._version)
        return joined

    def wait(self, seconds: float, _: float) -> bool:
        """There are no announcements."""
        time.sleep(seconds)
        return False

    async def put(self, puts: Sequence[Put]) -> bool:
        now = self._clock()
        self._items = {text: item for text, item in self._items.items() if item.put_at > now - ITEMS_EXPIRE}
        self._hidden &= self._items.keys()
        kept, hidden = set(self._items), set(self._hidden)
        for put in puts:
            text, available = str(put.item_id), put.only_available
            if available is not None and (text in hidden or (text not in kept and not available)):
                hidden.add(text)
            else:
                hidden.discard(text)
            kept.add(text)
        placed, before = len(kept - hidden), len(self._items.keys() - self._hidden)
        if len(kept) > max(len(self._items), HIDING_CAPACITY) or placed > max(before, CAPACITY):
            return False
        self._hidden = hidden
        self._version += bool(puts)
        for put in puts:
            self._put(put, now)
        return True

    async def forget(self, items: Sequence[PutItem]) -> None:
        for item in items:
            held = self._items.get(item.text)
            if held is not None and held.version == item.version:
                del self._items[item.text]
                self._hidden.discard(item.text)
        self._version += bool(items)

    async def read(self, item_id: Id) -> PutItem | None:
        item = self._items.get(str(item_id))
        return item if item and item.put_at > self._clock() - ITEMS_EXPIRE else None

    async def remove(self, item_id: Id) -> bool:
        there = self._items.pop(str(item_id), None) is not None
        self._hidden.discard(str(item_id))
        self._version += there
        return there

    def _put(self, put: Put, now: float) -> None:
        before = self._items.get(str(put.item_id))
        if before is None:
            self._seq += 1
            before = PutItem(put.item_id, self._seq, 0, now)
        content = json.loads(json.dumps(dict(put.content)))  # as read from a store: tuples become lists
        after = replace(
            before, item_id=put.item_id, version=self._version, put_at=now, content={**before.content, **content}
        )
        if put.title is not None:
            after = replace(after, title=put.title, title_at=now)
        if put.available is not None:
            after = replace(after, available=put.available, available_at=now)
        self._items[str(put.item_id)] = after

    async def close(self) -> None:
        """There is no connection to close."""
