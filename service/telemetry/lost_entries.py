"""The metric of lost entries: events and impressions that Redis dropped, at its limits, before a job read them."""

from __future__ import annotations

from functools import partial

from recsys.store.redis.user_store import RedisUserStore
from service.telemetry import metrics
from service.telemetry.periodic import repeat

READ_SECONDS = 15.0
"""Time between two reads: the usual scrape interval of Prometheus."""


async def follow(users: RedisUserStore) -> None:
    """Read the counts of the store, without an end. Without the store the metric keeps its last value."""
    await repeat("lost-entries", partial(_read, users), READ_SECONDS)


async def _read(users: RedisUserStore) -> None:
    lost = await users.read_lost()
    metrics.lost_entries.labels("impressions").set(lost.impressions)
    metrics.lost_entries.labels("events").set(lost.events)
