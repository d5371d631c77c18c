"""Trending items: those that a Prefect flow last wrote to Redis; they are candidates of every query."""

from __future__ import annotations

from collections.abc import Mapping

from recsys.slates.served_generation import ServedGeneration
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import Trending
from recsys.types import EXTRA, Source
from service.telemetry.periodic import repeat

POLL_SECONDS = 5.0
"""Time between two reads; the flow runs every few minutes."""

STALE_SECONDS = 3_600.0
"""Age from which trending items are dropped: the flow no longer runs."""


class TrendingFollower:
    """Reads the trending items from the store."""

    def __init__(self, users: RedisUserStore) -> None:
        self._users = users
        self._trending: Trending | None = None
        self._rows: dict[str, Mapping[int, int]] = {}

    async def follow(self) -> None:
        """Read the store, without an end. Without the store the last items stay until they are stale."""
        await repeat("trending", self._read, POLL_SECONDS)

    async def _read(self) -> None:
        trending = await self._users.read_trending()
        if trending != self._trending:
            self._trending, self._rows = trending, {}

    @property
    def made_at(self) -> float:
        """When the trending items were computed, unix seconds; 0 without any."""
        return 0.0 if self._trending is None else self._trending.made_at

    def rows(self, generation: ServedGeneration, now: float) -> Mapping[int, int]:
        """The rows of trending items in a generation, each with the source's flag."""
        if self._trending is None or now - self.made_at > STALE_SECONDS:
            return {}
        if generation.id not in self._rows:
            found = generation.item_rows([item for item, _ in self._trending.items])
            self._rows[generation.id] = dict.fromkeys(found[:EXTRA].tolist(), int(Source.TRENDING))
        return self._rows[generation.id]
