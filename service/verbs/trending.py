"""What is trending, as a flow wrote it last: candidates for everyone, until the next time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from recsys.errors import TandemError
from recsys.store.base import Trending, UserStore
from recsys.types import EXTRA, Source
from service.generations.served import ServedGeneration

logger = logging.getLogger("tandem")

LOOK_SECONDS = 5.0
"""How often a gateway looks; the flow that writes it runs every few minutes."""

STALE_SECONDS = 3_600.0
"""Age from which what was trending says nothing of now: the flow stands still."""


class TrendingFollower:
    """Follows what is trending."""

    def __init__(self, users: UserStore) -> None:
        self._users = users
        self._trending: Trending | None = None
        self._rows: tuple[str, Mapping[int, int]] = "", {}

    async def follow(self) -> None:
        """Look for ever; with the store away what was known stands until it is stale."""
        while True:
            try:
                trending = await self._users.read_trending()
                if trending != self._trending:
                    self._trending, self._rows = trending, ("", {})
            except TandemError:
                logger.debug("What is trending can't be read.")
            except Exception:
                logger.exception("What is trending can't be read.")
            await asyncio.sleep(LOOK_SECONDS)

    def rows(self, generation: ServedGeneration, now: float) -> Mapping[int, int]:
        """Rows of a generation that are trending, each with the source's flag."""
        if self._trending is None or now - self._trending.made_at > STALE_SECONDS:
            return {}
        if self._rows[0] != generation.id:
            found = generation.item_rows([item for item, _ in self._trending.items])
            rows = dict.fromkeys(found[:EXTRA].tolist(), int(Source.TRENDING))
            self._rows = generation.id, rows
        return self._rows[1]
