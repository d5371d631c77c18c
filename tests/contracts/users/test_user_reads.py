"""The contract of `RedisUserStore.read_users`: records, histories, damaged values and connections, on all stores."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection

from recsys.errors import StoreUnavailable
from recsys.store import UserState
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import EVENTS_KEPT
from recsys.types import Event
from tests.contracts.stores import Store, manifest


class TestRecords:
    def test_known_and_unknown_users(self, store: Store) -> None:
        """Ids of any characters find their record of a generation; other users have neither a record nor events."""
        store.publish("g2", {"7": b"other"})
        store.publish("g1", {"7": b"seven", "ünï 🙂": b"\x00\xff", "{x}:y": b"", "\udc80": b"lone"})
        states = store.read("g1", "7", "nobody", "ünï 🙂", "{x}:y", "\udc80", 8)
        assert [state.record for state in states] == [b"seven", None, b"\x00\xff", b"", b"lone", None]
        assert all(state.events == [] for state in states)


class TestHistory:
    def test_ids_keep_their_type(self, store: Store) -> None:
        """Numbers come back as numbers and text as text, of any size and script."""
        events = [
            Event(7, 1, 1.0),
            Event("7x", "1", 2.0, "view"),
            Event("ünï 🙂", "é:{}\n\x00", 3.5, "büy"),
            Event(2**70, -5, 4.0),
            Event("\udc80", "\udfff", 5.0),
        ]
        store.add(*events)
        read = store.read("g1", *(event.user_id for event in events))
        assert [state.events for state in read] == [[event] for event in events]
        assert [type(state.events[0].item_id) for state in read] == [int, str, str, int, str]
        assert isinstance(read[0].events[0].user_id, int)

    def test_events_are_sorted_by_time_and_the_newest_stay(self, store: Store) -> None:
        """Late events take their place by time; EVENTS_KEPT events stay, added at once or one by one."""
        click = Event("a", "now", 9_000.0)
        late = [Event("a", item, float(item)) for item in range(EVENTS_KEPT)]
        store.add(click, Event("b", "beside", 1.0))
        store.add(*late[100:])
        store.add(*late[:100])
        assert store.read("g1", "a")[0].events == [*late[1:], click]
        store.add(late[0], Event("a", "next", 9_001.0))
        assert store.read("g1", "a")[0].events == [*late[2:], click, Event("a", "next", 9_001.0)]


class TestConnections:
    def test_one_round_trip(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Many users are read, and many events written, with one message each."""
        sent: list[Any] = []
        send = AbstractConnection.send_packed_command

        async def counted(connection: AbstractConnection, *args: Any, **options: Any) -> None:
            sent.append(args)
            await send(connection, *args, **options)

        async def work(users: RedisUserStore) -> list[int]:
            await users.read_users("g1", 2, ["warm"])
            await users.add_events([Event("warm", 1, 1.0)])
            monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
            await users.add_events([Event(user, 1, 1.0) for user in range(50)])
            after_write = len(sent)
            await users.read_users("g1", 2, list(range(50)))
            return [after_write, len(sent)]

        assert store.users(work) == [1, 2]

    @pytest.mark.parametrize("limit", [0.05, None], ids=["cancelled", "late"])
    def test_a_cancelled_or_late_read_leaves_no_reply_behind(self, store: Store, limit: float | None) -> None:
        """The next read gets its own replies. A read without a reply ends at the store's limit."""
        store.publish("g1", {"a": b"of a", "b": b"of b"})
        buckets = manifest("g1").user_buckets

        async def work(users: RedisUserStore) -> list[UserState]:
            await users.read_users("g1", buckets, ["a"])
            pause = 0.15 if limit else 1.3
            store.client.client_pause(round(1000 * pause))
            with pytest.raises((TimeoutError, StoreUnavailable)):
                await asyncio.wait_for(users.read_users("g1", buckets, ["a"]), limit)
            await asyncio.sleep(pause)
            return await users.read_users("g1", buckets, ["b"])

        assert [state.record for state in store.users(work)] == [b"of b"]

    def test_a_closed_connection_is_replaced(self, store: Store) -> None:
        """The store closed idle connections: the next read and the next write succeed."""
        store.publish("g1", {"a": b"of a"})

        async def work(users: RedisUserStore) -> tuple[int, list[UserState]]:
            for _ in range(2):
                await users.add_events([Event("a", 1, 1.0)])
                states = await users.read_users("g1", manifest("g1").user_buckets, ["a"])
                store.client.client_kill_filter(_type="normal", skipme=True)
            return await users.add_events([Event("a", 1, 1.0)]), states

        added, states = store.users(work)
        assert (added, states[0].record) == (1, b"of a")


class TestSimilarItems:
    def test_lists_are_of_one_generation_and_are_replaced(self, store: Store) -> None:
        """Each row has its own list; a row without one, and rows of another generation, have none."""
        store.flows.write_similar("g1", {row: b"%d" % row for row in range(600)})
        store.flows.write_similar("g1", {5: b"newer"})
        store.flows.write_similar("g10", {})
        assert store.read_similar("g1", 0, 5, 511, 512, 599, 600) == [b"0", b"newer", b"511", b"512", b"599", None]
        assert store.read_similar("g10", 5) == [None]
