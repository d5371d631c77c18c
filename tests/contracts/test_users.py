"""What is kept of users beside generations: events, lists, the log, impressions; nothing once they are forgotten."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from recsys.store import MemoryStore, RedisUserStore
from recsys.store.base import LISTS_EXPIRE, Trending
from recsys.types import Event
from tests.contracts.stores import Store

USER = "0123456789abcdef-the-one-to-forget"


def click(item: str, at: float = 1.0, name: str = "", user: str = "7", kind: str = "click") -> Event:
    return Event(user, item, at, kind, name)


def items(store: Store, user: str = "7") -> list[str | int]:
    return [event.item_id for event in store.read("g1", user)[0].events]


class TestEventIds:
    def test_an_event_sent_twice_counts_once(self, store: Store) -> None:
        """Under one id, in one batch or in two; the answer says how many were new."""
        assert store.add(click("a", name="e1"), click("b", name="e1"), click("c", name="e2")) == 2
        assert store.add(click("a", name="e1"), click("d", name="e3")) == 1
        assert items(store) == ["a", "c", "d"]

    def test_an_event_without_an_id_always_counts(self, store: Store) -> None:
        """Who gives no id says that it is another event."""
        assert store.add(click("a"), click("a")) == 2
        assert items(store) == ["a", "a"]

    def test_ids_are_a_user_s_own(self, store: Store) -> None:
        """Two users may count from 1."""
        assert store.add(click("a", name="1"), click("b", name="1", user="8")) == 2

    def test_two_gateways_at_once_store_it_once(self, real: Store) -> None:
        """The same event through two connections at the same moment."""

        async def both(store: Any) -> list[int]:
            other = real.open_users()
            try:
                sent = [click("a", name=f"e{n}") for n in range(50)]
                return list(await asyncio.gather(store.add_events(sent), other.add_events(sent)))
            finally:
                await other.close()

        assert sum(real.users(both)) == 50
        assert len(items(real)) == 50


class TestHistory:
    def test_impressions_are_no_history(self, store: Store) -> None:
        """That an item was shown is logged, and nothing the user did."""
        assert store.add(click("a"), click("b", kind="impression")) == 2
        assert items(store) == ["a"]
        assert [logged.event.event_type for logged in store.flows.read_log()] == ["click", "impression"]

    @pytest.mark.parametrize("kind", ["memory", "valkey"])
    def test_old_events_are_no_history(self, request: pytest.FixtureRequest, kind: str) -> None:
        """What happened longer ago than the store was told is not read any more."""
        now = time.time()
        told = [click("old", now - 1_000), click("new", now - 10)]
        if kind == "memory":
            users: Any = MemoryStore(100)
        else:
            users = RedisUserStore(request.getfixturevalue("own_valkey_url"), 100)

        async def scene() -> list[Any]:
            await users.add_events([event._replace(user_id="aged") for event in told])
            (state,) = await users.read_users("g1", 1, ["aged"])
            await users.close()
            return [event.item_id for event in state.events]

        assert asyncio.run(scene()) == ["new"]

    def test_flows_read_what_serving_reads(self, store: Store) -> None:
        """The events of several users at once, in the order of the users."""
        store.add(click("a"), click("b", user="8"), click("c"), click("d", kind="impression"))
        told = store.flows.read_events(["8", "nobody", "7"])
        assert [[event.item_id for event in events] for events in told] == [["b"], [], ["a", "c"]]


class TestLog:
    def test_everybody_s_events_in_the_order_they_came(self, store: Store) -> None:
        """In steps, from where one stopped; an event that was no new one is not in it."""
        before = time.time()
        store.add(click("a", name="1"), click("b", user="8"), click("c"))
        store.add(click("a", name="1"), click("d"))
        first = store.flows.read_log(count=3)
        rest = store.flows.read_log(first[-1].entry)
        assert sorted(str(logged.event.item_id) for logged in first) == ["a", "b", "c"]
        assert [logged.event.item_id for logged in rest] == ["d"]
        assert store.flows.read_log(rest[-1].entry) == []
        assert all(before - 1 <= logged.arrived <= time.time() + 1 for logged in first)


class TestLists:
    def test_a_list_comes_with_the_user(self, store: Store) -> None:
        """In one read, of that generation alone."""
        store.flows.write_lists("g1", 2, {"7": b"list"})
        assert [state.listed for state in store.read("g1", "7", "8")] == [b"list", None]
        assert store.read("g2", "7")[0].listed is None

    def test_lists_go_with_their_generation(self, real: Store) -> None:
        """Deleted with it, and by themselves where nobody deletes it."""
        real.publish("g1")
        real.flows.write_lists("g1", 2, {"7": b"list"})
        (key,) = real.client.keys("gen:g1:lists:*")
        assert 0 < real.client.ttl(key) <= LISTS_EXPIRE
        real.generations.delete("g1")
        assert real.client.keys("*g1*") == []

    def test_records_by_bucket(self, store: Store) -> None:
        """Every user of a generation stands in one bucket."""
        whole = store.publish("g1", {"7": b"seven", "8": b"eight", "9": b"nine"})
        found: dict[str, bytes] = {}
        for bucket in range(whole.user_buckets):
            found |= store.flows.read_bucket("g1", bucket)
        assert found == {"7": b"seven", "8": b"eight", "9": b"nine"}


class TestTrending:
    def test_comes_back(self, store: Store) -> None:
        """Ids keep their kind, order and weight."""
        told = Trending(12.5, (("a", 2.0), (7, 1.5)))
        assert store.users(lambda users: users.read_trending()) is None
        store.flows.write_trending(told)
        assert store.users(lambda users: users.read_trending()) == told

    def test_what_can_t_be_read_is_nothing(self, real: Store) -> None:
        """Somebody else's value under the key is no reason to fail."""
        for text in (b"{", b"[]", b'{"made_at": 1}', b"\xff"):
            real.client.set("trending", text)
            assert real.users(lambda users: users.read_trending()) is None


class TestImpressions:
    def test_drained_in_order(self, store: Store) -> None:
        """Read in steps, and gone once they are dropped."""
        store.users(lambda users: users.add_impressions([("7", b"one"), (8, b"two"), ("7", b"three")]))
        first = store.flows.read_impressions(count=2)
        assert [told.data for told in first] == [b"one", b"two"]
        assert [told.data for told in store.flows.read_impressions(first[-1].entry)] == [b"three"]
        store.flows.drop_impressions([told.entry for told in first])
        assert [told.data for told in store.flows.read_impressions()] == [b"three"]


class TestForget:
    def fill(self, store: Store) -> None:
        """Everything that can be kept of two users, one of whom is to go."""
        store.publish("g1", {USER: b"record", "7": b"record of 7"})
        store.publish("g2", {USER: b"record"})
        store.flows.write_lists("g1", 2, {USER: b"list", "7": b"list of 7"})
        for user in (USER, "7"):
            store.add(click("a", user=user, name=f"{user}-1"), click("b", user=user, kind="impression"))

            async def shown(users: Any, user: str = user) -> None:
                await users.add_impressions([(user, f"shown to {user}".encode())])

            store.users(shown)

    def test_nothing_is_left(self, store: Store) -> None:
        """No record, list, event, log entry or impression; the neighbour keeps all of it."""
        self.fill(store)
        store.users(lambda users: users.forget_user(USER))
        for generation in ("g1", "g2"):
            (state,) = store.read(generation, USER)
            assert (state.record, state.events, state.listed, state.lost) == (None, [], None, False)
        (other,) = store.read("g1", "7")
        assert (other.record, other.listed) == (b"record of 7", b"list of 7")
        assert [event.item_id for event in other.events] == ["a"]
        assert {str(logged.event.user_id) for logged in store.flows.read_log()} == {"7"}
        assert [told.data for told in store.flows.read_impressions()] == [b"shown to 7"]

    def test_no_byte_is_left(self, real: Store) -> None:
        """A scan of every key and every value finds nothing of that user."""
        self.fill(real)
        assert any(USER.encode() in told for told in everything(real))
        real.users(lambda users: users.forget_user(USER))
        assert [told for told in everything(real) if USER.encode() in told] == []
        assert any(b"7" in told for told in everything(real))

    def test_a_generation_that_was_never_finished(self, real: Store) -> None:
        """Records that wait for a manifest go, too."""
        real.generations.write_users("g3", 1, {USER: b"record"})
        real.users(lambda users: users.forget_user(USER))
        assert [told for told in everything(real) if USER.encode() in told] == []

    def test_impressions_alone(self, store: Store) -> None:
        """For those that were logged while the user was being forgotten."""
        self.fill(store)
        store.users(lambda users: users.forget_impressions(USER))
        assert [told.data for told in store.flows.read_impressions()] == [b"shown to 7"]
        assert store.read("g1", USER)[0].record == b"record"

    def test_nobody(self, store: Store) -> None:
        """One who is not there is soon forgotten."""
        store.publish("g1")
        store.users(lambda users: users.forget_user("nobody"))
        assert store.read("g1", "7")[0].record == b"record"


def everything(store: Store) -> list[bytes]:
    """Every key and every value of a real store, flat."""
    readers = {
        b"string": lambda key: [store.client.get(key)],
        b"hash": lambda key: [part for pair in store.client.hgetall(key).items() for part in pair],
        b"list": lambda key: store.client.lrange(key, 0, -1),
        b"zset": lambda key: store.client.zrange(key, 0, -1),
        b"set": lambda key: list(store.client.smembers(key)),
        b"stream": lambda key: [repr(entry).encode() for entry in store.client.xrange(key)],
    }
    found: list[bytes] = []
    for key in store.client.scan_iter():
        found += [key, *readers[store.client.type(key)](key)]
    return found
