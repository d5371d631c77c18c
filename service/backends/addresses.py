"""DNS lookup of a backend (retrieval or ranking service): its addresses in random order, to spread connections."""

from __future__ import annotations

import asyncio
import random
import socket

import aiohttp
from aiohttp.abc import ResolveResult


class Addresses(aiohttp.ThreadedResolver):
    """Returns the addresses of one name in random order, so that connections spread over the hosts.

    Only the first lookup is waited for. Later lookups run beside the calls: a DNS server may be slow, and the addresses
    of before are used while it does not answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: list[ResolveResult] = []
        self._lookup: asyncio.Task[None] | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses; OSError if the name was never resolved. aiohttp calls it once for each session."""
        if self._lookup is None:
            self._lookup = asyncio.create_task(self._look_up(host, port, family))
        if not self._known:
            await asyncio.shield(self._lookup)
        return random.sample(self._known, len(self._known))

    async def _look_up(self, host: str, port: int, family: socket.AddressFamily) -> None:
        try:
            self._known = await super().resolve(host, port, family)
        except OSError:
            if not self._known:
                raise
        finally:
            self._lookup = None
