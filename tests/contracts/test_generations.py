"""The contract of `RedisGenerationStore`: parts, manifests, aliases and deletion, on Valkey and Redis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis

from recsys.errors import GenerationError, StalePublisher
from recsys.store.redis.generation_store import ALIASES_CHANNEL
from recsys.store.stored_types import CHUNK, UNFINISHED_EXPIRE
from recsys.types import Event
from tests.contracts.stores import (
    CATALOGUE,
    SIZES,
    USERS,
    Store,
    content,
    finish_small,
    keys,
    manifest,
    publish_small,
    small_manifest,
    write_small,
)


class TestParts:
    def test_a_part_is_read_as_it_was_written(self, generations: Any) -> None:
        """Parts below, at and above the size of a chunk come back byte for byte."""
        for name, size in SIZES.items():
            generations.write_part("g1", name, content(size))
        for name, size in SIZES.items():
            chunks = list(generations.read_part("g1", name, size))
            assert b"".join(chunks) == content(size), name
            assert all(len(chunk) == CHUNK for chunk in chunks[:-1]), name

    def test_unfinished_keys_expire_and_finished_keys_do_not(self, store: Store) -> None:
        """Keys without a manifest expire; each publisher renews the expiry; the manifest makes all keys permanent."""
        generations = store.generations
        claim = generations.claim("g1", 1)
        write_small(generations, "g1", claim)
        generations.overwrite_chunk("small", b"yyyyy", 0, claim)
        written = store.client.keys("gen:*")
        assert {store.client.ttl(key) > UNFINISHED_EXPIRE - 60 for key in written} == {True}
        for key in written:
            store.client.expire(key, 10)
        generations.stored_sizes(small_manifest("g1"), claim)
        assert {store.client.ttl(key) > UNFINISHED_EXPIRE - 60 for key in written} == {True}
        finish_small(generations, "g1", claim)
        generations.overwrite_chunk("small", b"xxxxx", 0, claim)
        generations.write_users("g1", 1, {"a": b"again"}, claim)
        assert {store.client.ttl(key) for key in store.client.keys("gen:*")} == {-1}


class TestAliases:
    def test_a_generation_without_a_manifest_can_not_go_live(self, generations: Any) -> None:
        """It is not listed, and the refusal moves no alias."""
        publish_small(generations, "g1")
        generations.promote("g1")
        generations.write_part("g9", "p", b"x")
        with pytest.raises(GenerationError, match="g9"):
            generations.promote("g9")
        assert generations.generations() == ["g1"]
        assert generations.aliases() == ("g1", None)

    def test_a_promotion_is_announced(self, store: Store) -> None:
        """Subscribers receive a message for a promotion, and none for a refused one."""
        publish_small(store.generations, "g1")
        with store.client.pubsub(ignore_subscribe_messages=True) as subscription:
            subscription.subscribe(ALIASES_CHANNEL)
            subscription.get_message(timeout=1)
            with pytest.raises(GenerationError):
                store.generations.promote("g9")
            store.generations.promote("g1")
            message = next(message for _ in range(10) if (message := subscription.get_message(timeout=1)))
        assert message["data"] == b"live g1"

    def test_fences_and_not_ids_order_generations(self, generations: Any) -> None:
        """Ids may have the times of wrong clocks. A second manifest of an id keeps its place."""
        publish_small(generations, "g20260101-130000", "g20260101-120000")
        finish_small(generations, "g20260101-130000")
        assert generations.generations() == ["g20260101-130000", "g20260101-120000"]
        generations.promote("g20260101-130000", forward=True)
        assert generations.promote("g20260101-120000", forward=True).was == "g20260101-130000"

    def test_an_older_generation_does_not_go_live_by_itself(self, generations: Any) -> None:
        """The refusal names the command; a promotion by a person is allowed."""
        publish_small(generations, "g1", "g2")
        generations.promote("g2", forward=True)
        with pytest.raises(StalePublisher, match=r"g1 or a later one was live before \(g2 is live now\).+promote g1"):
            generations.promote("g1", forward=True)
        assert generations.aliases() == ("g2", None)
        assert generations.promote("g1").live == "g1"

    def test_a_rollback_swaps_live_and_previous(self, generations: Any) -> None:
        """After it only a newer generation goes live by itself; without a previous generation it is refused."""
        with pytest.raises(GenerationError, match="nothing to roll back to"):
            generations.rollback()
        publish_small(generations, "g1", "g2", "g3")
        generations.promote("g1")
        with pytest.raises(GenerationError, match="nothing to roll back to"):
            generations.rollback()
        generations.promote("g3")
        move = generations.rollback()
        assert (move.was, move.live, move.previous) == ("g3", "g1", "g3")
        for generation in ("g2", "g3"):
            with pytest.raises(StalePublisher):
                generations.promote(generation, forward=True)
        assert generations.rollback().live == "g3"
        generations.rollback()
        publish_small(generations, "g4")
        assert generations.promote("g4", forward=True).was == "g1"

    def test_a_full_store_promotes_and_rolls_back(self, store: Store) -> None:
        """Redis refuses other writes for want of memory."""
        generations, client = store.generations, store.client
        publish_small(generations, "g1", "g2")
        generations.promote("g1")
        generations.promote("g2")
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("anything", "x")
            assert generations.rollback().live == "g1"
            assert generations.promote("g2").live == "g2"
        finally:
            client.config_set("maxmemory", 0)


class TestDelete:
    @pytest.mark.parametrize("format_", [None, 1], ids=["this format", "an older format"])
    def test_no_key_of_a_deleted_generation_is_left(self, store: Store, format_: int | None) -> None:
        """All parts, chunks and hashes are deleted; users' events stay."""
        store.add(Event(7, 1, 1.0))
        before = keys(store)
        whole = store.publish("g1", {str(user): b"r" for user in range(USERS)})
        assert len(keys(store) - before) == 1 + 1 + 1 + 1 + 2 + 4 + manifest("g1").user_buckets  # zset, then g1's
        store.flows.write_lists("g1", whole.user_buckets, {"7": b"list"})
        store.flows.write_similar("g1", dict.fromkeys(range(CATALOGUE), b"list"))
        if format_:
            store.client.set("gen:g1:manifest", replace(whole, format=format_).to_json())
        store.generations.delete("g1")
        assert keys(store) == before

    def test_an_aliased_generation_is_not_deleted(self, generations: Any) -> None:
        """The live and the previous generation stay complete."""
        for published in ("g1", "g2"):
            publish_small(generations, published)
            generations.promote(published)
        for generation in ("g1", "g2"):
            with pytest.raises(GenerationError, match="alias"):
                generations.delete(generation)
            assert generations.generations() == ["g1", "g2"]
            assert b"".join(generations.read_part(generation, "small", 5)) == b"xxxxx"

    def test_a_promotion_during_a_deletion_wins(self, store: Store) -> None:
        """Aliases are checked in the step that deletes."""
        generations = store.generations
        publish_small(generations, "g1")
        read = generations.read_manifest

        def promoted_meanwhile(generation: str) -> bytes | None:
            text = read(generation)
            generations.promote(generation)
            return text

        generations.read_manifest = promoted_meanwhile
        with pytest.raises(GenerationError, match="alias"):
            generations.delete("g1")
        assert generations.generations() == ["g1"]
        assert len(store.client.keys("gen:g1:*")) == 1 + 1 + 2 + 1
