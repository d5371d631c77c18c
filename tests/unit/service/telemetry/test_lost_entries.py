"""The metric of entries that the limits of the streams removed."""

import asyncio

import prometheus_client

from recsys.store.stored_types import LostEntries
from service.telemetry import lost_entries


class Users:
    async def read_lost(self):
        return LostEntries(impressions=2, events=3)


def test_the_metric_shows_the_counts_of_the_store():
    """One value for each stream, which the alerts name."""

    async def scene():
        following = asyncio.create_task(lost_entries.follow(Users()))
        await asyncio.sleep(0)
        following.cancel()

    asyncio.run(scene())
    value = prometheus_client.REGISTRY.get_sample_value
    assert value("tandem_lost_entries", {"stream": "impressions"}) == 2
    assert value("tandem_lost_entries", {"stream": "events"}) == 3
