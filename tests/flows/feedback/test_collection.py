"""The flow `drain` on events: columns, days, old files, and the users who were deleted or merged."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import redis

from flows.collection.day_files import WHOLE_DAY
from flows.drain import drain
from recsys.store import RedisUserStore
from recsys.store.stored_types import UserMerge
from recsys.types import LOAD_TEST_USERS, Event
from tests.chaos.event_sender import add_yesterday, collect
from training.read.collected import SCHEMA
from training.read.day_partitions import by_day, read_table
from training.read.locations import Location

NOW = 1_790_000_000.0


@pytest.fixture
def home(own_valkey_url, tmp_path, monkeypatch):
    """An empty store and home."""
    with redis.Redis.from_url(own_valkey_url) as client:
        client.flushall()
    monkeypatch.setenv("REDIS_URL", own_valkey_url)
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    return tmp_path


def in_store(url, work):
    """Run `work` with the store of users."""

    async def scene():
        users = RedisUserStore(url)
        try:
            return await work(users)
        finally:
            await users.close()

    return asyncio.run(scene())


def rows(home):
    """The rows of all files of events."""
    files = [file for of_day in by_day(Location(str(home / "events"))).values() for file in of_day]
    return [row for file in files for row in read_table(file).to_pylist()]


def test_a_row_for_each_event(harness, home, own_valkey_url):
    """Ids are text; id, context and dataset are kept; a repeat of an id and events of load tests are in no file."""
    one = Event(7, "a", NOW, "purchase", "order-1", {"device": "tv"})
    other = Event("ü", 8, NOW + 0.5)
    test = Event(f"{LOAD_TEST_USERS}1", "a", NOW)
    in_store(own_valkey_url, lambda users: users.add_events([one, one, other, test], "shop"))
    done = drain()
    assert (done.events.events, done.events.lost, done.figures().rows_out) == (2, 0, 2)
    (file,) = done.events.files
    day = time.strftime("%Y-%m-%d", time.gmtime())
    assert Path(file) == home / "events" / f"date={day}" / "0-0.parquet"
    schema = pq.read_schema(file)
    assert (schema.names, schema.metadata) == (SCHEMA.names, {b"tandem.events": b"1"})
    first, second = rows(home)
    assert (first["user_id"], first["item_id"], first["timestamp"], first["event_type"]) == ("7", "a", NOW, "purchase")
    assert (first["event_id"], first["context"], first["dataset"]) == ("order-1", [("device", "tv")], "shop")
    assert (second["user_id"], second["item_id"], second["event_id"], second["context"]) == ("ü", "8", None, [])
    assert abs(first["arrived"] - time.time()) < 60
    assert drain().events.events == 0


def test_a_deleted_and_a_merged_user_leave_the_files(harness, home, own_valkey_url):
    """The events of a visitor are those of the login then, each once. Events after a deletion stay."""
    users = {user: [Event(user, "a", NOW), Event(user, "b", NOW)] for user in ("gone", "visitor", "login")}
    for events in users.values():
        in_store(own_valkey_url, lambda store, events=events: store.add_events(events))
    drain()
    in_store(own_valkey_url, lambda store: store.forget_user("gone"))
    in_store(own_valkey_url, lambda store: store.add_events([Event("gone", "c", NOW)]))

    async def merge(store):
        await store.add_events([Event("visitor", "d", NOW)])
        await store.merge_user("visitor", "login")
        await store.merge_streams([UserMerge("visitor", "login", NOW)])  # as the gateway does some seconds later

    in_store(own_valkey_url, merge)
    assert drain().deleted == 4
    assert Counter((row["user_id"], row["item_id"]) for row in rows(home)) == Counter(
        [("gone", "c"), ("login", "a"), ("login", "b"), ("login", "d")]
    )


def test_a_day_that_is_over_is_one_file(home, own_valkey_url, tmp_path):
    """Days whose events may still be in the log stay as they are."""
    from tests.chaos.publishing_world import PublishingWorld

    world = PublishingWorld(own_valkey_url, tmp_path)
    add_yesterday(world, 3)
    folder = tmp_path / "events"
    collect(own_valkey_url, folder)
    assert [file.name for file in folder.glob("*/*")] == ["0-0.parquet"]
    in_store(own_valkey_url, lambda store: store.add_events([Event("u", "new", NOW)]))
    collect(own_valkey_url, folder)
    (first, *_), (second, *_) = by_day(Location(str(folder))).values()
    assert first.name == WHOLE_DAY != second.name
    assert Counter(row["item_id"] for row in rows(tmp_path)) == Counter(["old-1", "old-2", "old-3", "new"])
    world.close()
