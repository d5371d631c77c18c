"""Events in a store's log, and the rows that `flows drain` has written of them, to compare both."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

from flows.collection.collect_events import collect_events
from flows.collection.day_files import join_days
from flows.forgetting.deleted_users import remove_deleted_users
from recsys.store.key_names import EVENT_LOG, counts_key
from recsys.store.redis.event_collection import RedisEventCollection
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import LOG_LIMITS, StreamLimits
from recsys.types import Event
from tests.chaos.publishing_world import PublishingWorld
from training.read.day_partitions import by_day, read_table
from training.read.locations import Location


def add_yesterday(world: PublishingWorld, count: int) -> None:
    """Log events that arrived a day ago."""
    moment = int(1_000 * (time.time() - 86_400))
    for n in range(1, count + 1):
        event = json.dumps(["u1", f"old-{n}", moment / 1_000, "click"])
        fields = {"e": event, "i": f"e{n}", "s": "shop", "n": n, "b": 0}
        world.client.xadd(EVENT_LOG, fields, id=f"{moment}-{n}")  # type: ignore[arg-type]
    world.client.hset(counts_key(EVENT_LOG), mapping={"added": count, "bytes": 100 * count})


def send(url: str, *items: str, user: str = "u1", limits: StreamLimits = LOG_LIMITS) -> None:
    """Log an event with each item, as a gateway does."""

    async def scene() -> None:
        users = RedisUserStore(url, log=limits)
        for item in items:
            await users.add_events([Event(user, item, time.time(), event_id=item, context={"device": "tv"})], "shop")
        await users.close()

    asyncio.run(scene())


def forget(url: str, user: str) -> None:
    """Delete a user from the store."""

    async def scene() -> None:
        users = RedisUserStore(url)
        await users.forget_user(user)
        await users.close()

    asyncio.run(scene())


def forget_in_files(url: str, folder: Path) -> None:
    """What the flow `drain` does for deleted users, without Prefect."""
    store = RedisFlowStore(url)
    remove_deleted_users.fn(store, [Location(str(folder))], folder.parent)
    store.close()


def collect(url: str, folder: Path) -> int:
    """What the flow `drain` does with events, without Prefect; the events that it lost."""
    store, location = RedisEventCollection(url), Location(str(folder))
    done = collect_events.fn(store, location)
    join_days.fn(location, store.collected_until())
    store.close()
    return done.lost


def logged(world: PublishingWorld) -> Counter[str]:
    """The items of all events in the log."""
    return Counter(json.loads(fields[b"e"])[1] for _, fields in world.client.xrange(EVENT_LOG))


def collected(folder: Path) -> Counter[str]:
    """The items of all rows of all files."""
    files = [file for of_day in by_day(Location(str(folder))).values() for file in of_day]
    return Counter(item for file in files for item in read_table(file)["item_id"].to_pylist())
