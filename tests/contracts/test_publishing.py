"""What a store owes a publisher, shown on the fake, on the embedded Valkey and on Debian's Redis alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import redis

from recsys.errors import GenerationError, PublisherBusy, StalePublisher
from recsys.generation.manifest import Manifest, Part
from recsys.store import GenerationStore, RedisGenerationStore
from recsys.store.ports import CHUNK, LIVE, PREVIOUS, Claim
from recsys.store.redis.generation_store import UNFINISHED_EXPIRE
from tests.contracts.stores import Store

SHORT = 0.25
"""A lease that is over before a test has slept, and not before it has written, on a busy machine either."""

PARTS = {"small": 5, "two": CHUNK + 1}


@pytest.fixture(name="store")
def generations_of(store: Store) -> GenerationStore:
    return store.generations


@pytest.fixture(name="real")
def generations_of_real(real: Store) -> tuple[RedisGenerationStore, Any]:
    return cast(RedisGenerationStore, real.generations), real.client


def manifest(generation: str) -> Manifest:
    return Manifest(generation, 0.0, "test", {name: Part("", size) for name, size in PARTS.items()}, {"users": 2})


def write(store: GenerationStore, generation: str, claim: Claim | None = None) -> None:
    """Everything but the manifest."""
    for name, size in PARTS.items():
        store.write_part(generation, name, b"x" * size, claim=claim)
    store.write_users(generation, 1, {"a": b"of a", "b": b"of b"}, claim)


def finish(store: GenerationStore, generation: str, claim: Claim | None = None) -> None:
    store.write_manifest(generation, manifest(generation).to_json(), claim)


def publish(store: GenerationStore, *generations: str) -> None:
    for generation in generations:
        claim = store.claim(generation)
        write(store, generation, claim)
        finish(store, generation, claim)
        store.release(claim)


def lost(store: GenerationStore, generation: str) -> Claim:
    """A claim that is over, and another's in its place."""
    claim = store.claim(generation, SHORT)
    time.sleep(2 * SHORT)
    store.claim("g-other")
    return claim


class TestClaim:
    def test_one_at_a_time(self, store: GenerationStore) -> None:
        """A second publisher is told who publishes what, since when, and what to do; when the first is done it may."""
        first = store.claim("g1")
        with pytest.raises(PublisherBusy, match=r"^Process \d+ on .+ has been publishing g1 for \d seconds .+Wait"):
            store.claim("g2")
        store.release(first)
        assert store.claim("g2").generation == "g2"

    def test_fences_rise(self, store: GenerationStore) -> None:
        """Each claim has a higher fence than any before it, whatever became of those."""
        fences = []
        for n in range(4):
            claim = store.claim(f"g{n}", SHORT)
            fences.append(claim.fence)
            if n % 2:
                time.sleep(2 * SHORT)
            else:
                store.release(claim)
        assert fences == sorted(set(fences))

    def test_the_same_process_tries_again(self, store: GenerationStore) -> None:
        """A retry in the process that holds the claim takes it over; what the first try still does is refused."""
        first = store.claim("g1")
        second = store.claim("g1")
        assert second.fence > first.fence
        with pytest.raises(StalePublisher):
            store.renew(first)
        store.renew(second)

    def test_renewed(self, store: GenerationStore) -> None:
        """A claim that is renewed outlives its first lease."""
        claim = store.claim("g1", SHORT)
        store.renew(claim, 60)
        time.sleep(2 * SHORT)
        with pytest.raises(PublisherBusy):
            store.claim("g2")

    @pytest.mark.parametrize(
        "call",
        [
            lambda store, claim: store.renew(claim),
            lambda store, claim: store.stored_sizes(manifest("g1"), claim),
            lambda store, claim: store.overwrite_chunk("small", b"y" * 5, 0, claim),
            lambda store, claim: store.write_users("g1", 1, {"a": b"other"}, claim),
            lambda store, claim: finish(store, "g1", claim),
            lambda store, claim: store.discard(manifest("g1"), claim),
        ],
        ids=["renew", "stored", "mend", "users", "manifest", "discard"],
    )
    def test_one_who_lost_it_changes_nothing(self, store: GenerationStore, call: Callable[..., Any]) -> None:
        """A publisher that was paused too long is refused with a sentence, and everything is as it was."""
        claim = store.claim("g1", SHORT)
        write(store, "g1", claim)
        time.sleep(2 * SHORT)
        store.claim("g-other")
        with pytest.raises(StalePublisher, match="Run it again"):
            call(store, claim)
        assert store.generations() == []
        assert store.read_records("g1", 1, ["a", "b", "c"]) == [b"of a", b"of b", None]
        assert b"".join(store.read_part("g1", "small", 5)) == b"xxxxx"

    def test_what_expired_and_nobody_took_is_lost_too(self, store: GenerationStore) -> None:
        """Without another publisher in between the claim is no less over: somebody may have come and gone."""
        claim = store.claim("g1", SHORT)
        write(store, "g1", claim)
        time.sleep(2 * SHORT)
        with pytest.raises(StalePublisher):
            finish(store, "g1", claim)

    def test_a_late_chunk_does_no_harm(self, real: tuple[RedisGenerationStore, Any]) -> None:
        """A chunk written by one who lost the claim neither changes a finished generation nor makes it expire."""
        store, client = real
        stale = store.claim("g1", SHORT)
        time.sleep(2 * SHORT)
        publish(store, "g1")
        store.write_part("g1", "small", b"yyyyy", claim=stale)
        store.write_part("g1", "stray", b"yyyyy", claim=stale)
        assert client.get("gen:g1:part:small:0") == b"xxxxx"
        assert client.ttl("gen:g1:part:small:0") == -1
        assert client.ttl("gen:g1:part:stray:0") > 0


class TestResuming:
    def test_what_is_there_is_told(self, store: GenerationStore) -> None:
        """Bytes of each chunk and records of each hash, none of what isn't there."""
        claim = store.claim("g1")
        assert store.stored_sizes(manifest("g1"), claim).chunks == {"small": [0], "two": [0, 0]}
        store.write_part("g1", "two", b"x" * CHUNK, claim=claim)
        store.write_users("g1", 1, {"a": b"of a"}, claim)
        stored = store.stored_sizes(manifest("g1"), claim)
        assert (stored.chunks, list(stored.records)) == ({"small": [0], "two": [CHUNK, 0]}, [1])

    def test_what_is_there_stays_until_it_is_mended(self, store: GenerationStore) -> None:
        """A publisher writes what is missing; over what is there it writes by a word of its own."""
        claim = store.claim("g1")
        store.write_part("g1", "small", b"wrong", claim=claim)
        store.write_part("g1", "small", b"right", claim=claim)
        assert list(store.read_part("g1", "small", 5)) == [b"wrong"]
        store.overwrite_chunk("small", b"right", 0, claim)
        assert list(store.read_part("g1", "small", 5)) == [b"right"]

    def test_everything_unfinished_expires(self, real: tuple[RedisGenerationStore, Any]) -> None:
        """Chunks, mended ones too, and users expire until there is a manifest, and asking what is there renews that."""
        store, client = real
        claim = store.claim("g1")
        write(store, "g1", claim)
        store.overwrite_chunk("small", b"yyyyy", 0, claim)
        keys = client.keys("gen:*")
        assert {client.ttl(key) > UNFINISHED_EXPIRE - 60 for key in keys} == {True}
        for key in keys:
            client.expire(key, 10)
        store.stored_sizes(manifest("g1"), claim)
        assert {client.ttl(key) > UNFINISHED_EXPIRE - 60 for key in keys} == {True}
        finish(store, "g1", claim)
        store.stored_sizes(manifest("g1"), claim)
        store.overwrite_chunk("small", b"xxxxx", 0, claim)
        assert {client.ttl(key) for key in client.keys("gen:*")} == {-1}

    @pytest.mark.parametrize("missing", ["chunk", "short", "user"])
    def test_half_a_generation_gets_no_manifest(self, store: GenerationStore, missing: str) -> None:
        """Where a chunk or a record is missing, or a chunk is short, the manifest is refused with what to do."""
        claim = store.claim("g1")
        store.write_part("g1", "small", b"x" * (4 if missing == "short" else 5), claim=claim)
        store.write_part("g1", "two", b"x" * (CHUNK + (missing != "chunk")), claim=claim)
        store.write_users("g1", 1, {"a": b""} if missing == "user" else {"a": b"", "b": b""}, claim)
        with pytest.raises(GenerationError, match=r"not whole in the store.+noeviction"):
            finish(store, "g1", claim)
        assert store.generations() == []

    def test_discarded(self, store: GenerationStore) -> None:
        """What is there of an unfinished generation goes; a finished one stays whole."""
        publish(store, "g1")
        claim = store.claim("g2")
        write(store, "g2", claim)
        store.discard(manifest("g2"), claim)
        assert set(store.stored_sizes(manifest("g2"), claim).records) == {0}
        assert store.stored_sizes(manifest("g2"), claim).chunks == {"small": [0], "two": [0, 0]}
        store.release(claim)
        again = store.claim("g1")
        store.discard(manifest("g1"), again)
        assert store.stored_sizes(manifest("g1"), again).chunks == {"small": [5], "two": [CHUNK, 1]}


class TestOrder:
    def test_the_fence_orders_not_the_id(self, store: GenerationStore) -> None:
        """Generations whose ids say another order, as of a clock that is an hour off, are in the order of fences."""
        publish(store, "g20260101-130000", "g20260101-120000")
        assert store.generations() == ["g20260101-130000", "g20260101-120000"]
        store.promote("g20260101-130000", forward=True)
        assert store.promote("g20260101-120000", forward=True).was == "g20260101-130000"

    def test_the_older_does_not_overtake(self, store: GenerationStore) -> None:
        """After a newer generation was live an older one does not go live by itself, and the way to do it is told."""
        publish(store, "g1", "g2")
        store.promote("g2", forward=True)
        with pytest.raises(StalePublisher, match=r"g1 or a later one was live before \(g2 is live now\).+promote g1"):
            store.promote("g1", forward=True)
        assert (store.alias(LIVE), store.alias(PREVIOUS)) == ("g2", None)
        assert store.promote("g1").live == "g1"

    def test_what_was_rolled_back_stays_back(self, store: GenerationStore) -> None:
        """After a rollback neither the one that was left nor one between goes live by itself; a newer one does."""
        publish(store, "g1", "g2", "g3")
        store.promote("g1")
        store.promote("g3")
        store.rollback()
        for generation in ("g2", "g3"):
            with pytest.raises(StalePublisher):
                store.promote(generation, forward=True)
        publish(store, "g4")
        assert store.promote("g4", forward=True).was == "g1"


class TestRollback:
    def test_there_and_back(self, store: GenerationStore) -> None:
        """A rollback swaps live and previous and says so; another swaps them again."""
        publish(store, "g1", "g2")
        store.promote("g1")
        store.promote("g2")
        moved = store.rollback()
        assert (moved.was, moved.live, moved.previous) == ("g2", "g1", "g2")
        assert (store.alias(LIVE), store.alias(PREVIOUS)) == ("g1", "g2")
        assert store.rollback().live == "g2"

    def test_nothing_to_go_back_to(self, store: GenerationStore) -> None:
        """With nothing live, or nothing before it, there is a sentence."""
        with pytest.raises(GenerationError, match="nothing to roll back to"):
            store.rollback()
        publish(store, "g1")
        store.promote("g1")
        with pytest.raises(GenerationError, match="nothing to roll back to"):
            store.rollback()

    def test_a_full_store_rolls_back(self, real: tuple[RedisGenerationStore, Any]) -> None:
        """Where Redis takes no more writes for want of memory, promoting and rolling back still work."""
        store, client = real
        publish(store, "g1", "g2")
        store.promote("g1")
        store.promote("g2")
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("anything", "x")
            assert store.rollback().live == "g1"
            assert store.promote("g2").live == "g2"
        finally:
            client.config_set("maxmemory", 0)


def test_delete_while_it_is_promoted(real: tuple[RedisGenerationStore, Any]) -> None:
    """A generation that goes live while its deletion is prepared stays: aliases are looked at in the same step."""
    store, client = real
    publish(store, "g1")
    read = store.read_manifest

    def promoted_meanwhile(generation: str) -> bytes | None:
        text = read(generation)
        store.promote(generation)
        return text

    store.read_manifest = promoted_meanwhile  # type: ignore[method-assign]
    with pytest.raises(GenerationError, match="alias"):
        store.delete("g1")
    assert store.generations() == ["g1"]
    assert len(client.keys("gen:g1:*")) == 1 + 1 + 2 + 1


def test_another_generation_of_the_same_id_keeps_its_place(store: GenerationStore) -> None:
    """A manifest written over another (an older format, say) changes neither the order nor what is live."""
    publish(store, "g1", "g2")
    store.promote("g2")
    store.write_manifest("g1", replace(manifest("g1"), created=9.0).to_json())
    assert store.generations() == ["g1", "g2"]
    assert store.alias(LIVE) == "g2"
