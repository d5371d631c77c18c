"""The flow `drain` over a real store: an event labels one slate, the newest one before the event with its item."""

import asyncio
import random
import time
from collections import Counter

import pyarrow.parquet as pq
import pytest
import redis

from flows import drain as module
from recsys.store import RedisFlowStore, RedisUserStore
from recsys.store.stored_types import UserMerge
from recsys.types import Event
from tests.flows.feedback.test_drain import shown
from training.read.locations import Location

WAIT = 1_800.0


class World:
    """A store with slates that arrived in the past, and the files of `drain`."""

    def __init__(self, url, home, monkeypatch):
        self.url, self.home, self.monkeypatch, self.now = url, home, monkeypatch, time.time()
        for name in ("drain_some", "read_stored_slates"):  # without Prefect
            monkeypatch.setattr(module, name, getattr(module, name).fn)

    def show(self, *slates):
        """Log slates with item a: (seconds ago, seconds from the slate to its arrival) each."""
        with redis.Redis.from_url(self.url) as client:
            for ago, late in slates:
                packed = shown("7", self.now - ago, ("a", "b")).pack()
                entry = f"{int(1000 * (self.now - ago + late))}-*"
                client.xadd("impressions", {"u": "7", "d": packed, "n": 1, "b": 0}, id=entry)

    def act(self, *events):
        """Log events with item a: (seconds ago, type) each."""

        async def scene():
            users = RedisUserStore(self.url)
            await users.add_events([Event("7", "a", self.now - ago, kind) for ago, kind in events])
            await users.close()

        asyncio.run(scene())

    def drain(self, wait=WAIT, at_once=2_000):
        """The steps of a run of the flow."""
        self.monkeypatch.setattr(module, "AT_ONCE", at_once)
        store = RedisFlowStore(self.url)
        try:
            return module.drain_all(store, Location(str(self.home)), wait, lambda *_: None)
        finally:
            store.close()

    def taken(self):
        """The types of the events of each slate that has some, by the seconds since the slate."""
        rows = [row for file in self.home.rglob("date=*/*.parquet") for row in pq.read_table(file).to_pylist()]
        return {round(self.now - row["time"]): row["event_types"] for row in rows if row["label"]}


@pytest.fixture
def world(own_valkey_url, tmp_path, monkeypatch):
    with redis.Redis.from_url(own_valkey_url) as client:
        client.flushall()
    return World(own_valkey_url, tmp_path, monkeypatch)


@pytest.mark.parametrize("at_once", [1, 2, 2_000])
def test_of_two_slates_with_the_item_the_newer_one_has_the_event(world, at_once):
    """In one step of the flow and in two: the labels sum to one."""
    world.show((3_000, 0), (2_000, 0), (1_900, 0))
    world.act((1_950, "click"))
    assert world.drain(at_once=at_once).impressions == 3
    assert world.taken() == {2_000: ["click"]}


@pytest.mark.parametrize("at_once", [1, 2_000])
def test_slates_that_arrive_in_another_order(world, at_once):
    """A gateway process may log later than another one. The newest slate by its time has the event, in one step. In
    two steps the slate that is written last has it, because the other one is gone from the store by then.
    """
    world.show((2_994, 0), (3_000, 7))
    world.act((2_900, "click"))
    world.drain(at_once=at_once)
    assert world.taken() == {3_000 if at_once == 1 else 2_994: ["click"]}


def test_a_run_after_a_kill_writes_the_same_files(world, monkeypatch):
    """Also if the kill was between two steps, and slates arrived since."""
    world.show((3_000, 0), (2_990, 0), (2_980, 0), (2_970, 0))
    world.act((2_995, "click"), (2_985, "purchase"), (2_975, "view"), (2_900, "click"))
    with monkeypatch.context() as killed:
        drop, dropped = RedisFlowStore.drop_impressions, []

        def kill(store, entries):
            dropped.append(entries)
            if len(dropped) == 2:
                raise KeyboardInterrupt
            drop(store, entries)

        killed.setattr(RedisFlowStore, "drop_impressions", kill)
        with pytest.raises(KeyboardInterrupt):
            world.drain(at_once=2)
    files = {file: file.read_bytes() for file in world.home.rglob("date=*/*.parquet")}
    assert len(files) == 2
    world.show((60, 0))
    world.drain(at_once=2)
    assert {file: file.read_bytes() for file in files} == files
    assert world.taken() == {3_000: ["click"], 2_990: ["purchase"], 2_980: ["view"], 2_970: ["click"]}


def test_the_session_before_a_login_labels_slates_of_the_login(world):
    """A visitor takes an item and logs in, then takes another item of the same slate. The slate's arm is that of the
    visitor's id, so that the slate takes part in no experiment of the login. Its history is not the login's.
    """
    packed = shown("visitor", world.now - 3_000, ("a", "b"), arms={"test": "new"}, assigned={"test": "new"}).pack()
    with redis.Redis.from_url(world.url) as client:
        fields = {"u": "visitor", "d": packed, "n": 1, "b": 0}
        client.xadd("impressions", fields, id=f"{int(1000 * (world.now - 3_000))}-*")

    async def scene():
        users = RedisUserStore(world.url)
        await users.add_events([Event("visitor", "a", world.now - 2_900, "click")])
        await users.merge_user("visitor", "login")
        await users.merge_streams([UserMerge("visitor", "login", time.time())])
        await users.add_events([Event("login", "b", world.now - 2_800, "purchase")])
        await users.close()

    asyncio.run(scene())
    world.drain()
    (file,) = world.home.rglob("date=*/*.parquet")
    rows = pq.read_table(file).to_pylist()
    assert [(row["user_id"], row["event_types"]) for row in rows] == [("login", ["click"]), ("login", ["purchase"])]
    assert {(row["arms"], row["assigned"], row["from_store"]) for row in rows} == {("test=new", "", False)}


def test_every_event_labels_one_slate(world):
    """Slates in random order of arrival, drained in several runs and steps: each type of event has one label."""
    made = random.Random(3)
    slates = sorted(((made.uniform(1_000, 9_000), made.uniform(0, 7)) for _ in range(60)), key=lambda s: s[1] - s[0])
    world.show(*slates)
    ago = [made.uniform(1_000, 9_000) for _ in range(40)]
    world.act(*((each, f"type {at}") for at, each in enumerate(ago)))
    for wait, at_once in ((WAIT, 7), (WAIT, 3), (900.0, 50)):
        world.drain(wait, at_once)
    counted = Counter(kind for types in world.taken().values() for kind in types)
    assert max(counted.values()) == 1
    assert len(counted) > 20
