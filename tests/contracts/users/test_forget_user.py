"""The deletion of a user from all keys, without an effect on other users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from recsys.user_digest import digest_of
from tests.contracts.stores import SIZES, Store, click, content, manifest

USER = "0123456789abcdef-the-one-to-forget"


def fill(store: Store) -> None:
    """Store data of every kind for two users, one of whom will be deleted."""
    store.publish("g1", {USER: b"record", "7": b"record of 7"})
    store.publish("g2", {USER: b"record"})
    for variant in ("", "test.new"):
        store.flows.write_lists("g1", 2, {USER: b"list", "7": b"list of 7"}, variant)
    for user in (USER, "7"):
        store.add(click("a", user=user, name=f"{user}-1"), click("b", user=user, kind="impression"))

        async def shown(users: Any, user: str = user) -> None:
            await users.add_impressions([(user, f"shown to {user}".encode())])

        store.users(shown)


class TestForget:
    def test_nothing_is_left(self, store: Store) -> None:
        """No record, list, event, log entry or impression is left; the other user keeps all of them."""
        fill(store)
        store.users(lambda users: users.forget_user(USER))
        for generation in ("g1", "g2"):
            (state,) = store.read(generation, USER)
            assert (state.record, state.events, state.listed, state.lost) == (None, [], None, False)
        assert store.read("g1", USER, variant="test.new")[0].listed is None
        assert store.read("g1", "7", variant="test.new")[0].listed == b"list of 7"
        (other,) = store.read("g1", "7")
        assert (other.record, other.listed) == (b"record of 7", b"list of 7")
        assert [event.item_id for event in other.events] == ["a"]
        assert {str(logged.event.user_id) for logged in store.flows.read_log()} == {"7"}
        assert [entry.data for entry in store.flows.read_impressions()] == [b"shown to 7"]

    def test_flows_find_the_digests_of_deleted_users(self, store: Store) -> None:
        """For 31 days; no id is stored."""
        before = store.flows.now()
        store.users(lambda users: users.forget_user(USER))
        store.users(lambda users: users.forget_impressions(USER))
        first, second = store.flows.read_deleted_users()
        assert first.digest == second.digest == digest_of(USER)
        assert before - 0.001 <= first.at <= second.at <= store.flows.now()
        store.flows.drop_old_deletions()
        assert store.flows.read_deleted_users() == [first, second]

    def test_a_publish_continues(self, store: Store) -> None:
        """A user deleted during a publish counts as stored, for the manifest and for a resumed publish."""
        whole = replace(manifest("g1"), dims={"users": 3})
        claim = store.generations.claim("g1", 1)
        for name, size in SIZES.items():
            store.generations.write_part("g1", name, content(size), claim=claim)
        records = {USER: b"one", "7": b"two", "8": b"three"}
        store.generations.write_users("g1", whole.user_buckets, records, claim)
        store.users(lambda users: users.forget_user(USER))
        assert sum(store.generations.stored_sizes(whole, claim).records) == 3
        store.generations.write_manifest("g1", whole.to_json(), claim)
        assert store.read("g1", USER, "7")[0].record is None
        assert store.flows.read_bucket("g1", 0) == {"7": b"two", "8": b"three"}

    def test_similar_ids_are_other_users(self, store: Store) -> None:
        """A number and its text are one user; ids with the same begin or similar quotes are other users."""
        others = ["70", 70, "-7", -7, "7,8", '"7"', '7"', "7\\", " 7", "07", "\u0667", "7\ud800", "7\u00fc", "[7"]
        for user in (7, "7", *others):
            store.add(click("a", user=user))
        store.users(lambda users: users.add_impressions([(user, f"{user!r}".encode()) for user in (7, "7", *others)]))
        left = others
        for gone in ("7", *map(str, others)):
            store.users(lambda users, gone=gone: users.forget_user(gone))
            left = [user for user in left if str(user) != gone]
            assert [logged.event.user_id for logged in store.flows.read_log()] == left
            assert [entry.data for entry in store.flows.read_impressions()] == [f"{user!r}".encode() for user in left]

    def test_lists_that_are_written_during_the_deletion(self, store: Store) -> None:
        """The generations are read first. A hash of lists that begins after that is found too."""
        store.publish("g1", {USER: b"record", "7": b"record of 7"})

        async def forget(users: Any) -> None:
            read = users._redis.mget

            async def written_meanwhile(*keys: Any) -> Any:
                for variant in ("", "test.new"):
                    store.flows.write_lists("g1", 2, {USER: b"list", "7": b"list of 7"}, variant)
                return await read(*keys)

            users._redis.mget = written_meanwhile
            await users.forget_user(USER)

        store.users(forget)
        assert store.read("g1", "7", variant="test.new")[0].listed == b"list of 7"
        assert [text for text in everything(store) if USER.encode() in text] == []


def everything(store: Store) -> list[bytes]:
    """All keys and values of a store in one list."""
    readers = {
        b"none": lambda key: [],  # it has expired
        b"string": lambda key: [store.client.get(key) or b""],
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
