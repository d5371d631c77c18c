"""The metric of entries that the limits of the store's streams removed before a flow read them."""

from __future__ import annotations

import asyncio
import logging

from recsys.errors import TandemError
from recsys.store.ports import UserStore
from service.telemetry import metrics

logger = logging.getLogger("tandem")

READ_SECONDS = 15.0
"""Between two reads: the interval at which Prometheus usually scrapes."""


async def follow(users: UserStore) -> None:
    """Read the store's counts forever. Without the store the metric keeps its last value."""
    while True:
        try:
            lost = await users.read_lost()
            metrics.lost_entries.labels("impressions").set(lost.impressions)
            metrics.lost_entries.labels("events").set(lost.events)
        except TandemError:
            logger.debug("The counts of lost entries can't be read.")
        except Exception:
            logger.exception("The counts of lost entries can't be read.")
        await asyncio.sleep(READ_SECONDS)
