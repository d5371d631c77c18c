"""The interfaces to the store for items that are added or changed after training, through PUT /items.

Every server process reads changes, one command at a time (`ItemReader`, sync). The gateway, the server that takes
requests, writes them (`ItemWriter`, async).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from recsys.fresh_items.put_items import Put, PutItem, PutItems
from recsys.types import Id


class ItemReader(Protocol):
    """Reads items of PUT /items. Every call raises StoreUnavailable without a store, except `wait`."""

    def changes(self, known: PutItems) -> PutItems:
        """Return all items, given the ones known already; `known` itself if nothing changed or nothing is stored."""

    def wait(self, seconds: float, calm: float) -> bool:
        """Return True as soon as a put is announced or an announcement may have been missed.

        Returns False after `calm` seconds without an announcement; after `seconds` if announcements can't be received.
        """


class ItemWriter(Protocol):
    """Adds and changes items for PUT /items, and deletes them."""

    async def put(self, puts: Sequence[Put]) -> bool:
        """Put all items or none; of several puts of one id the last counts. False if there is no room.

        There is room for CAPACITY items. Items that are only hidden or shown again may use the room up to
        HIDING_CAPACITY.
        """

    async def forget(self, items: Sequence[PutItem]) -> None:
        """Delete items that were not put again since."""

    async def read(self, item_id: Id) -> PutItem | None:
        """Return an item that was put, None if it was not."""

    async def remove(self, item_id: Id) -> bool:
        """Delete an item, and return whether there was one."""

    async def close(self) -> None:
        """Close all connections."""
