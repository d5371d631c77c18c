"""The deletion of a user from all generations: its cost does not grow with users, and a publish restores no user."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from recsys.generation.manifest import Manifest
from recsys.store.publisher_lock import ClaimOwner
from recsys.store.stored_types import user_bucket
from tests.contracts.stores import Store, click, keys, manifest, small_manifest
from tests.contracts.users.test_forget_user import USER, everything

FEW, MANY = 1_500, 100_000
"""Users of a generation in 2 and in 195 hashes."""

VERBS = {
    "merge": lambda users: users.merge_user(USER, "login", [click("old", 0.5, user=USER)]),
    "delete": lambda users: users.forget_user(USER),
}


def commands(store: Store, work: Callable[[Any], Any]) -> int:
    """The commands that a store executes for some work, those of its scripts too."""
    store.users(lambda users: users.read_lost())  # loads what a first connection sends
    store.client.config_resetstat()
    store.users(work)
    return sum(command["calls"] for command in store.client.info("commandstats").values())


def fill(store: Store, users: int) -> None:
    """Three generations of so many users, some of whom have a record, a list and events."""
    store.client.flushall()
    known = [USER, *map(str, range(users // 20))]
    for generation in ("g1", "g2", "g3"):
        whole = replace(manifest(generation), dims={"users": users, "items": 10})
        store.generations.write_users(generation, whole.user_buckets, dict.fromkeys(known, b"record"))
        store.generations.write_manifest(generation, whole.to_json())
        for variant in ("", "test.new"):
            store.flows.write_lists(generation, whole.user_buckets, dict.fromkeys(known, b"list"), variant)
    store.add(click("a", user=USER))
    store.client.mset({f"user:{user}:other": "x" for user in range(users // 10)})


@pytest.mark.parametrize("verb", VERBS)
def test_the_number_of_commands_does_not_grow_with_users(store: Store, verb: str) -> None:
    """A user has one hash in each generation: as many commands for 1,500 users as for 100,000."""
    counted = []
    for users in (FEW, MANY):
        fill(store, users)
        counted.append(commands(store, VERBS[verb]))
        assert [text for text in everything(store) if verb == "delete" and USER.encode() in text] == []
    assert counted[0] == counted[1]


class TestUnfinished:
    @pytest.mark.parametrize("verb", VERBS)
    @pytest.mark.parametrize("written", ["before", "after"])
    def test_a_publish_restores_no_deleted_user(self, store: Store, verb: str, written: str) -> None:
        """The user's hash is written before the deletion or after it, and again by a publish that continues."""
        whole, records = _small(users=3), {USER: b"one", "7": b"two", "8": b"three"}
        claim = store.generations.claim("g1", 1)
        if written == "before":
            store.generations.write_users("g1", 1, records, claim)
        store.users(VERBS[verb])
        store.generations.write_users("g1", 1, records, claim)
        again = store.generations.claim("g1", 1)
        store.generations.write_users("g1", 1, records, again)
        assert list(store.generations.stored_sizes(whole, again).records) == [3]
        store.generations.write_manifest("g1", whole.to_json(), again)
        assert store.generations.read_records("g1", 1, [USER, "7", "8"]) == [None, b"two", b"three"]
        assert "gen:g1:forgotten" not in keys(store)

    def test_nothing_is_left_of_a_claim(self, store: Store) -> None:
        """Neither after the manifest nor after a publish that failed; tombstones have no id and expire."""
        for finish in (True, False):
            claim = store.generations.claim("g1", 1)
            store.users(VERBS["delete"])
            assert 0 < store.client.ttl("gen:g1:forgotten") <= 86_400
            assert [text for text in everything(store) if USER.encode() in text] == []
            store.generations.write_users("g1", 1, {USER: b"one", "7": b"two"}, claim)
            if finish:
                store.generations.write_manifest("g1", _small(users=2).to_json(), claim)
                assert "generations:unfinished" not in keys(store)
                store.client.flushall()
            else:
                store.generations.discard(_small(users=2), claim)
                assert keys(store) == {"publishing", "impressions:deleted"}


class TestStoreOfTheReleaseBefore:
    def test_a_finished_generation(self, store: Store) -> None:
        """Its manifest has the number of hashes; the claim had none."""
        store.publish("g1", {USER: b"record", "7": b"record of 7"})
        assert "generations:unfinished" not in keys(store)
        store.users(VERBS["delete"])
        assert [state.record for state in store.read("g1", USER, "7")] == [None, b"record of 7"]

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_publish_in_progress(self, store: Store, verb: str) -> None:
        """Its claim has no number of hashes: those that are written are found by their names."""
        owner = ClaimOwner.current("g9").to_json()
        assert "buckets" not in json.loads(owner)
        store.client.set("publishing", f"1 1 {owner}", px=30_000)
        bucket = user_bucket(USER, 3)
        store.client.hset(f"gen:g9:users:{bucket}", mapping={USER: b"record", "7": b"record of 7"})
        store.users(VERBS[verb])
        assert store.client.hgetall(f"gen:g9:users:{bucket}") == {b"7": b"record of 7", b"": b"1"}


def _small(users: int) -> Manifest:
    """A manifest without parts."""
    return replace(small_manifest("g1"), parts={}, dims={"users": users})
