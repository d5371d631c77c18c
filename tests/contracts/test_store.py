"""What a store does, shown on the fake, on the embedded Valkey and on Debian's Redis alike."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection

from recsys.errors import GenerationError
from recsys.generation.manifest import Manifest
from recsys.store import UserState, UserStore
from recsys.store.ports import CHUNK, EVENTS_EXPIRE, EVENTS_KEPT, LIVE, PREVIOUS, user_bucket
from recsys.store.redis.generation_store import ALIASES_CHANNEL, UNFINISHED_EXPIRE
from recsys.types import Event
from tests.contracts.stores import SIZES, USERS, Store, content, keys, manifest


class TestGenerations:
    @pytest.mark.parametrize("name", SIZES)
    def test_part_comes_back(self, store: Store, name: str) -> None:
        """A part comes back byte by byte, in chunks, whatever its size is beside a chunk's."""
        data = content(SIZES[name])
        store.generations.write_part("g1", name, data)
        chunks = list(store.generations.read_part("g1", name, len(data)))
        assert b"".join(chunks) == data
        assert all(len(chunk) == CHUNK for chunk in chunks[:-1])

    def test_part_that_ends_early(self, store: Store) -> None:
        """A part with fewer bytes than its manifest says is refused, in the last chunk too."""
        store.generations.write_part("g1", "p", content(CHUNK + 5))
        for size in (CHUNK + 6, 2 * CHUNK + 5):
            with pytest.raises(GenerationError, match="p of generation g1"):
                list(store.generations.read_part("g1", "p", size))

    def test_missing_chunk(self, real: Store) -> None:
        """A chunk that got lost is named, and what came before it is no excuse."""
        real.publish("g1")
        real.client.delete("gen:g1:part:several:2")
        with pytest.raises(GenerationError, match="chunk 2"):
            list(real.generations.read_part("g1", "several", SIZES["several"]))

    def test_manifest_comes_back(self, store: Store) -> None:
        """The manifest is the one that was written; there is none of a generation that isn't there."""
        written = store.publish("g1")
        assert store.generations.read_manifest("g2") is None
        read = store.generations.read_manifest("g1")
        assert read is not None
        assert Manifest.from_json(read) == written

    def test_generations_oldest_first(self, store: Store) -> None:
        """Generations are listed as they were published, whatever their ids say of the time; again is no news."""
        assert store.generations.generations() == []
        for generation in ("g3", "g1", "g2", "g1"):
            store.publish(generation)
        assert store.generations.generations() == ["g3", "g1", "g2"]

    def test_unfinished_is_no_generation(self, store: Store) -> None:
        """Parts without a manifest are not listed and can't be promoted."""
        store.generations.write_part("g1", "p", b"x")
        assert store.generations.generations() == []
        with pytest.raises(GenerationError):
            store.generations.promote("g1")

    def test_unfinished_expires_and_finished_stays(self, real: Store) -> None:
        """What a killed publish left goes by itself; a manifest makes everything stay, also what is refreshed later."""
        real.generations.write_part("g1", "several", content(SIZES["several"]))
        real.generations.write_users("g1", 2, {str(user): b"r" for user in range(50)})
        assert {real.client.ttl(key) > UNFINISHED_EXPIRE - 60 for key in keys(real)} == {True}
        real.publish("g1")
        real.generations.write_users("g1", manifest("g1").user_buckets, {"8": b"refreshed"})
        assert {real.client.ttl(key) for key in keys(real)} == {-1}


class TestAliases:
    def test_nothing_is_live_at_first(self, store: Store) -> None:
        """Aliases of an empty store name nothing."""
        assert store.generations.alias(LIVE) is None
        assert store.generations.alias(PREVIOUS) is None
        assert store.generations.aliases() == (None, None)

    def test_promote_keeps_the_way_back(self, store: Store) -> None:
        """A promotion remembers what was live, and promoting that rolls back."""
        store.publish("g1")
        store.publish("g2")
        store.generations.promote("g1")
        assert store.generations.alias(PREVIOUS) is None
        store.generations.promote("g2")
        assert (store.generations.alias(LIVE), store.generations.alias(PREVIOUS)) == ("g2", "g1")
        assert store.generations.aliases() == ("g2", "g1")
        store.generations.promote("g1")
        assert store.generations.aliases() == ("g1", "g2")

    def test_promote_is_guarded(self, store: Store) -> None:
        """A generation without a manifest can't go live, and the refusal moves no alias."""
        store.publish("g1")
        store.generations.promote("g1")
        with pytest.raises(GenerationError, match="g9"):
            store.generations.promote("g9")
        assert store.generations.aliases() == ("g1", None)

    def test_promote_is_announced(self, real: Store) -> None:
        """Who listens on the channel hears of a promotion, and nothing of a refused one."""
        real.publish("g1")
        with real.client.pubsub(ignore_subscribe_messages=True) as heard:
            heard.subscribe(ALIASES_CHANNEL)
            heard.get_message(timeout=1)
            with pytest.raises(GenerationError):
                real.generations.promote("g9")
            real.generations.promote("g1")
            message = next(message for _ in range(10) if (message := heard.get_message(timeout=1)))
        assert message["data"] == b"live g1"


class TestDelete:
    def test_deleted_is_gone(self, store: Store) -> None:
        """A deleted generation is neither listed nor read, its users are unknown, and its neighbour is untouched."""
        for generation in ("g1", "g10"):
            store.publish(generation)
        store.generations.delete("g1")
        assert store.generations.generations() == ["g10"]
        assert store.generations.read_manifest("g1") is None
        assert store.read("g1", 7)[0].record is None
        assert store.read("g10", 7)[0].record == b"record"
        with pytest.raises(GenerationError):
            list(store.generations.read_part("g1", "several", SIZES["several"]))

    def test_no_key_is_left(self, real: Store) -> None:
        """Not one key of a deleted generation stays, of all its parts, chunks and buckets; users' events do."""
        real.add(Event(7, 1, 1.0))
        before = keys(real)
        real.publish("g1", {str(user): b"r" for user in range(USERS)})
        assert len(keys(real) - before) == 1 + 1 + 1 + 1 + 2 + 4 + manifest("g1").user_buckets  # the zset, then g1's
        real.generations.delete("g1")
        assert keys(real) == before

    def test_another_format_is_deleted(self, real: Store) -> None:
        """What an older version published is cleared away like any other generation."""
        before = keys(real)
        old = replace(real.publish("g1"), format=1)
        real.client.set("gen:g1:manifest", old.to_json())
        real.generations.delete("g1")
        assert keys(real) == before

    @pytest.mark.parametrize("generation", ["g1", "g2"])
    def test_aliased_stays(self, store: Store, generation: str) -> None:
        """What is live or the way back is refused, and stays whole."""
        for published in ("g1", "g2"):
            store.publish(published)
            store.generations.promote(published)
        with pytest.raises(GenerationError, match="alias"):
            store.generations.delete(generation)
        assert store.generations.generations() == ["g1", "g2"]
        assert b"".join(store.generations.read_part(generation, "small", 5)) == content(5)

    def test_nothing_to_delete(self, store: Store) -> None:
        """Deleting what isn't there, or twice, is no error: a delete that was cut short can be repeated."""
        store.publish("g1")
        for _ in range(2):
            store.generations.delete("g1")
        assert store.generations.generations() == []


class TestUsers:
    def test_known_and_unknown(self, store: Store) -> None:
        """A user of the generation has a record; others have none, and nobody has events yet."""
        store.publish("g1", {"7": b"seven", "ünï 🙂": b"\x00\xff", "{x}:y": b"", "\udc80": b"lone"})
        states = store.read("g1", "7", "nobody", "ünï 🙂", "{x}:y", "\udc80", 8)
        assert [state.record for state in states] == [b"seven", None, b"\x00\xff", b"", b"lone", None]
        assert all(state.events == [] for state in states)

    def test_records_belong_to_a_generation(self, store: Store) -> None:
        """The same user has another record in another generation."""
        store.publish("g1", {"7": b"old"})
        store.publish("g2", {"7": b"new"})
        assert [store.read(generation, 7)[0].record for generation in ("g1", "g2", "g3")] == [b"old", b"new", None]

    def test_many_users(self, store: Store) -> None:
        """Records by the thousand find their users again, over all buckets."""
        records = {str(user): f"record {user}".encode() for user in range(USERS * 3)}
        store.publish("g1", records)
        assert [state.record for state in store.read("g1", *range(USERS * 3))] == list(records.values())

    def test_ids_keep_their_type(self, store: Store) -> None:
        """Ids of users and items come back as they were given: numbers as numbers, text as text."""
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

    def test_order(self, store: Store) -> None:
        """Events are read oldest first, in the order they arrived, whoever else's stood between."""
        events = [Event(user, item, float(item)) for item in range(20) for user in ("a", "b")]
        store.add(*events[:13])
        store.add(*events[13:])
        for state, user in zip(store.read("g1", "a", "b"), ("a", "b"), strict=True):
            assert state.events == [event for event in events if event.user_id == user]

    def test_newest_are_kept(self, store: Store) -> None:
        """Of a user's events the newest EVENTS_KEPT stay, whether they came at once or one by one."""
        events = [Event("a", item, float(item)) for item in range(2 * EVENTS_KEPT + 3)]
        store.add(*events[:-2])
        store.add(events[-2])
        store.add(events[-1])
        assert store.read("g1", "a")[0].events == events[-EVENTS_KEPT:]

    def test_newest_are_not_the_last_to_come(self, store: Store) -> None:
        """What is told late stands where it belongs, and goes before what happened after it."""
        click, late = Event("a", "now", 9_000.0), [Event("a", item, float(item)) for item in range(EVENTS_KEPT)]
        store.add(click)
        store.add(*late[100:])
        store.add(*late[:100])
        assert store.read("g1", "a")[0].events == [*late[1:], click]
        store.add(late[0], Event("a", "next", 9_001.0))
        assert store.read("g1", "a")[0].events == [*late[2:], click, Event("a", "next", 9_001.0)]

    def test_unreadable_events_are_left_out(self, real: Store) -> None:
        """What is stored and no event is skipped; the user's other events, and other users, are read."""
        good = Event("a", 1, 1.0)
        bad = [b"", b"{", b"\xff", b"null", b"[1]", b'["a",1,"x","click"]', b'["a",1,NaN,"click"]', b'["a",[],1,"c"]']
        bad += [b'["a",1,1e999,"c"]', b'["a",1,1.0,2]', b'"abcd"', b"1],[2", b'["a",1,' + b"9" * 400 + b',"c"]']
        bad += [b"[" * 100_000, b"9" * 10_000]
        real.add(good)
        for text in bad:
            real.client.rpush("user:a:events", text)
        real.add(good)
        real.client.set("user:b:events", "no list")
        real.client.hset("user:c:events", "no", "list")
        states = real.read("g1", "a", "b", "c")
        assert [state.events for state in states] == [[good, good], [], []]

    def test_events_expire(self, real: Store) -> None:
        """A user's events go EVENTS_EXPIRE after the last of them."""
        real.add(Event("a", 1, 1.0))
        real.client.expire("user:a:events", 5)
        real.add(Event("a", 2, 2.0))
        assert real.client.ttl("user:a:events") > EVENTS_EXPIRE - 60

    def test_one_round_trip(self, real: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Any number of users is read, and any number of events written, with one thing sent."""
        sent: list[Any] = []
        send = AbstractConnection.send_packed_command

        async def counted(connection: AbstractConnection, *args: Any, **options: Any) -> None:
            sent.append(args)
            await send(connection, *args, **options)

        async def work(store: UserStore) -> list[int]:
            await store.read_users("g1", 2, ["warm"])
            await store.add_events([Event("warm", 1, 1.0)])
            monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
            await store.add_events([Event(user, 1, 1.0) for user in range(50)])
            after_write = len(sent)
            await store.read_users("g1", 2, list(range(50)))
            return [after_write, len(sent)]

        assert real.users(work) == [1, 2]

    def test_a_cancelled_read_mixes_up_nobody(self, real: Store) -> None:
        """A read that was given up leaves no answer behind for the next one to take as its own."""
        real.publish("g1", {"a": b"of a", "b": b"of b"})

        async def work(store: UserStore) -> list[UserState]:
            await store.read_users("g1", manifest("g1").user_buckets, ["a"])
            real.client.client_pause(150)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(store.read_users("g1", manifest("g1").user_buckets, ["a"]), 0.05)
            await asyncio.sleep(0.2)
            return await store.read_users("g1", manifest("g1").user_buckets, ["b"])

        assert [state.record for state in real.users(work)] == [b"of b"]


def test_lost_records_are_told_from_users_nobody_knows(store):
    """A hash of records that is not there was evicted, or never came back; one that lacks a user knows the others."""
    buckets = manifest("g1").user_buckets
    beside, elsewhere = (
        next(name for name in map(str, range(100)) if name != "7" and (user_bucket(name, buckets) == own) == same)
        for own in [user_bucket("7", buckets)]
        for same in (True, False)
    )
    store.publish("g1", {"7": b"record"})
    assert [(state.record, state.lost) for state in store.read("g1", "7", beside, elsewhere)] == [
        (b"record", False),
        (None, False),
        (None, True),
    ]
    assert all(state.lost for state in store.read("g0", "7", beside))
