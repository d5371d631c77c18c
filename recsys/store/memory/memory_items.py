"""Keep the items that are added after training through PUT /items in a dict, for unit tests without Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace

from recsys.fresh_items.put_items import CAPACITY, Put, PutItem, PutItems
from recsys.types import Id


class MemoryItems:
    """Items of PUT /items, as in `RedisItemReader` and `RedisItemWriter`."""

    def __init__(self) -> None:
        self._items: dict[str, PutItem] = {}
        self._version = self._seq = 0

    def changes(self, known: PutItems) -> PutItems:
        if self._version in (0, known.version):
            return known
        return PutItems().joined(self._items.values(), "memory", self._version)

    async def put(self, puts: Sequence[Put]) -> bool:
        if len(self._items.keys() | {str(put.item_id) for put in puts}) > CAPACITY:
            return False
        self._version += bool(puts)
        for put in puts:
            self._put(put, time.time())
        return True

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

    async def forget(self, items: Sequence[PutItem]) -> None:
        for item in items:
            if self._items.get(item.text) == item:
                await self.remove(item.text)

    async def read(self, item_id: Id) -> PutItem | None:
        return self._items.get(str(item_id))

    async def remove(self, item_id: Id) -> bool:
        there = self._items.pop(str(item_id), None) is not None
        self._version += there
        return there

    async def close(self) -> None:
        """There is no connection to close."""
