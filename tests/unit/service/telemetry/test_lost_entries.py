"""The metric of entries that the limits of the streams removed."""

import asyncio

import prometheus_client

from recsys.store import MemoryStore
from recsys.store.stored_types import StreamLimits
from recsys.types import Event
from service.telemetry import lost_entries


def test_the_metric_shows_the_counts_of_the_store():
    """One value for each stream, which the alerts name."""
    store = MemoryStore(1e12, StreamLimits(1e12, 100), StreamLimits(1e12, 100))

    async def scene():
        await store.add_impressions([("7", b"x" * 60)] * 3)
        await store.add_events([Event("7", "a" * 40, 1.0)] * 4)
        following = asyncio.create_task(lost_entries.follow(store))
        await asyncio.sleep(0)
        following.cancel()

    asyncio.run(scene())
    value = prometheus_client.REGISTRY.get_sample_value
    assert value("tandem_lost_entries", {"stream": "impressions"}) == 2
    assert value("tandem_lost_entries", {"stream": "events"}) == 3
