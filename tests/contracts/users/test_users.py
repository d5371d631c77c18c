"""The contract of events, lists, the log, trending items and impressions, on Valkey and Redis."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from recsys.errors import StoreError
from recsys.store import RedisFlowStore, RedisUserStore
from recsys.store.redis.stored_events import parse_events
from recsys.store.stored_types import LISTS_EXPIRE, LOAD_TEST_EXPIRE
from recsys.types import LOAD_TEST_USERS
from tests.contracts.stores import Store, click, manifest, user_of

FORGOTTEN = "somebody who was forgotten"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a reply takes longer than the limit of a request."""
    monkeypatch.setattr("recsys.store.redis.user_store._HOT_SECONDS", 30.0)


def items(store: Store, user: str = "7") -> list[str | int]:
    return [event.item_id for event in store.read("g1", user)[0].events]


class TestEventIds:
    def test_an_event_sent_twice_counts_once(self, store: Store) -> None:
        """The second event with an id is dropped, in one batch or in two; the result counts new events."""
        assert store.add(click("a", name="e1"), click("b", name="e1"), click("c", name="e2")) == 2
        assert store.add(click("a", name="e1"), click("d", name="e3")) == 1
        assert items(store) == ["a", "c", "d"]

    def test_an_event_that_was_not_stored_can_be_sent_again(self, store: Store) -> None:
        """An id is stored after its event: a key of another type loses nothing."""
        store.client.set("user:7:events", "not ours")
        with pytest.raises(StoreError, match="WRONGTYPE"):
            store.add(click("a", name="e1"))
        store.client.delete("user:7:events")
        assert store.add(click("a", name="e1")) == 1
        assert items(store) == ["a"]

    def test_two_gateways_at_once_store_it_once(self, store: Store) -> None:
        """The same events arrive over two connections at once."""

        async def both(users: Any) -> list[int]:
            other = store.open_users()
            try:
                sent = [click("a", name=f"e{n}") for n in range(50)]
                return list(await asyncio.gather(users.add_events(sent), other.add_events(sent)))
            finally:
                await other.close()

        assert sum(store.users(both)) == 50
        assert len(items(store)) == 50


class TestHistory:
    def test_events_of_load_test_users_are_not_logged(self, store: Store) -> None:
        """They are in the user's history, which expires soon, and duplicates are dropped as usual."""
        user = f"{LOAD_TEST_USERS}7"
        assert store.add(click("a", user=user, name="e1"), click("b", user=user, kind="impression"), click("c")) == 3
        assert store.add(click("a", user=user, name="e1")) == 0
        assert items(store, user) == ["a"]
        assert [logged.event.item_id for logged in store.flows.read_log()] == ["c"]
        keys = store.client.keys(f"user:{user}:*")
        assert len(keys) == 2
        assert all(0 < store.client.ttl(key) <= LOAD_TEST_EXPIRE for key in keys)

    def test_old_events_are_deleted_by_the_next_write(self, store: Store) -> None:
        """Events beyond the age limit are not read. They leave the key, and are not stored when they arrive late."""
        now = time.time()
        store.add(click("old", now - 1_000), click("also old", now - 101), click("new", now - 10))
        aged = RedisUserStore(store.url, 100)

        async def scene() -> None:
            (state,) = await aged.read_users("g1", 1, ["7"])
            assert [event.item_id for event in state.events] == ["new"]
            for item, ago in (("now", 0), ("late", 1_000)):
                await aged.add_events([click(item, now - ago)])
            await aged.close()

        asyncio.run(scene())
        assert [event.item_id for event in parse_events(store.client.lrange("user:7:events", 0, -1))] == ["new", "now"]
        assert [logged.event.item_id for logged in store.flows.read_log()][-2:] == ["now", "late"]


class TestLog:
    def test_the_log_has_all_events_in_the_order_of_arrival(self, store: Store) -> None:
        """It is read in steps from an entry on. Duplicates are not in it."""
        store.add(click("a", name="1"), click("b", user="8"), click("c"))
        store.add(click("a", name="1"), click("d"))
        first = store.flows.read_log(count=3)
        rest = store.flows.read_log(first[-1].entry)
        assert sorted(str(logged.event.item_id) for logged in first) == ["a", "b", "c"]
        assert [logged.event.item_id for logged in rest] == ["d"]
        assert store.flows.read_log(rest[-1].entry) == []
        assert [logged.number for logged in (*first, *rest)] == [1, 2, 3, 4]

    def test_the_log_is_read_from_a_time_on(self, store: Store) -> None:
        """The name of an entry begins with its time in milliseconds."""
        store.add(click("before"))
        time.sleep(0.05)
        between = int(1000 * time.time()) - 20
        store.add(click("after"))
        assert [logged.event.item_id for logged in store.flows.read_log(f"{between}-0")] == ["after"]
        assert store.flows.read_log(f"{between + 60_000}-0") == []


class TestLists:
    def test_a_deleted_user_gets_no_list(self, store: Store) -> None:
        """A list is written only for a user with a record or an event."""
        buckets = store.publish("g1", {"7": b"record", FORGOTTEN: b"record"}).user_buckets
        store.add(click("a", user="8"), click("a", user=FORGOTTEN))
        store.users(lambda users: users.forget_user(FORGOTTEN))
        store.flows.write_lists("g1", buckets, {"7": b"seven", "8": b"eight", FORGOTTEN: b"list"})
        assert [state.listed for state in store.read("g1", "7", "8", FORGOTTEN)] == [b"seven", b"eight", None]

    def test_no_list_is_written_without_an_expiry(self, store: Store) -> None:
        """If the expiry is refused, the list is refused too: it would outlive its generation."""
        with user_of(store, "lists", "~*", "+@connection", "+@transaction", "+hset") as url:
            flows = RedisFlowStore(url)
            with pytest.raises(StoreError, match="no permissions"):
                flows.write_lists("gone", 2, {"7": b"list"})
            flows.close()
        assert store.client.keys("gen:*") == []
        store.publish("g1")
        store.flows.write_lists("g1", 2, {"7": b"list"})
        (key,) = store.client.keys("gen:g1:lists:*")
        assert 0 < store.client.ttl(key) <= LISTS_EXPIRE


def test_many_calls_at_once_are_all_answered(store: Store) -> None:
    """A burst of reads and writes waits for connections and does not fail."""

    async def burst(users: Any) -> list[Any]:
        reads = (users.read_users("g1", manifest("g1").user_buckets, [f"reader {each}"]) for each in range(150))
        return list(await asyncio.gather(*reads, *(users.add_events([click(f"i{each}")]) for each in range(150))))

    assert len(store.users(burst)) == 300
