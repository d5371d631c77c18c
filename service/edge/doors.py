"""What a gateway process has beside its doors where there are keys: the admin port, and who follows the file."""

from __future__ import annotations

import asyncio

from service.edge.admin import AdminPort
from service.edge.gate import Gate


class Edge:
    """Starts and ends with the process; without keys there is nothing to start."""

    def __init__(self, gate: Gate | None, admin: AdminPort | None) -> None:
        self._gate = gate
        self._admin = admin

    async def start(self) -> None:
        """Follow the file of keys, and open the admin port; SettingsError where it can't be had."""
        if self._gate:
            self._following = asyncio.create_task(self._gate.keys.follow())
        if self._admin:
            await self._admin.start()

    async def stop(self) -> None:
        """End both."""
        if self._admin:
            await self._admin.stop()
        if self._gate:
            self._following.cancel()
