"""The contract of a publish: claims, resumed writes and incomplete generations, on Valkey and Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from recsys.errors import GenerationError, PublisherBusy, StalePublisher
from recsys.store.stored_types import CHUNK
from tests.contracts.stores import Store, finish_small, publish_small, small_manifest, write_small

SHORT = 0.25
"""Seconds of a lease that ends during a test, but not during a write on a busy machine."""


class TestClaim:
    def test_one_publisher_at_a_time(self, generations: Any) -> None:
        """The error for a second publisher names the first one; after a release another may publish."""
        first = generations.claim("g1", 1)
        with pytest.raises(PublisherBusy, match=r"^Process \d+ on .+ has been publishing g1 for \d seconds .+Wait"):
            generations.claim("g2", 1)
        generations.release(first)
        assert generations.claim("g2", 1).generation == "g2"

    @pytest.mark.parametrize(
        "call",
        [
            lambda store, claim: store.renew(claim),
            lambda store, claim: store.stored_sizes(small_manifest("g1"), claim),
            lambda store, claim: store.overwrite_chunk("small", b"y" * 5, 0, claim),
            lambda store, claim: store.write_users("g1", 1, {"a": b"other"}, claim),
            lambda store, claim: finish_small(store, "g1", claim),
            lambda store, claim: store.discard(small_manifest("g1"), claim),
        ],
        ids=["renew", "stored_sizes", "overwrite_chunk", "write_users", "write_manifest", "discard"],
    )
    def test_a_lost_claim_changes_nothing(self, generations: Any, call: Callable[..., Any]) -> None:
        """A publisher is refused while a later one has the claim."""
        claim = generations.claim("g1", 1)
        write_small(generations, "g1", claim)
        generations.claim("g1", 1)
        with pytest.raises(StalePublisher, match="Run it again"):
            call(generations, claim)
        assert generations.generations() == []
        assert generations.read_records("g1", 1, ["a", "b", "c"]) == [b"of a", b"of b", None]
        assert b"".join(generations.read_part("g1", "small", 5)) == b"xxxxx"

    def test_an_expired_claim_is_lost_though_nobody_took_it(self, store: Store) -> None:
        """Another publisher may have come and gone meanwhile."""
        claim = store.generations.claim("g1", 1, SHORT)
        write_small(store.generations, "g1", claim)
        time.sleep(2 * SHORT)
        with pytest.raises(StalePublisher):
            finish_small(store.generations, "g1", claim)

    def test_a_late_chunk_does_not_damage_a_finished_generation(self, store: Store) -> None:
        """A chunk written with a lost claim neither overwrites a chunk nor makes it expire, and expires itself."""
        generations, client = store.generations, store.client
        stale = generations.claim("g1", 1, SHORT)
        time.sleep(2 * SHORT)
        publish_small(generations, "g1")
        generations.write_part("g1", "small", b"yyyyy", claim=stale)
        generations.write_part("g1", "stray", b"yyyyy", claim=stale)
        assert client.get("gen:g1:part:small:0") == b"xxxxx"
        assert client.ttl("gen:g1:part:small:0") == -1
        assert client.ttl("gen:g1:part:stray:0") > 0


class TestResuming:
    def test_stored_sizes_show_what_is_missing(self, generations: Any) -> None:
        """They have the bytes of each chunk and the records of each hash, 0 for missing ones."""
        claim = generations.claim("g1", 1)
        assert generations.stored_sizes(small_manifest("g1"), claim).chunks == {"small": [0], "two": [0, 0]}
        generations.write_part("g1", "two", b"x" * CHUNK, claim=claim)
        generations.write_users("g1", 1, {"a": b"of a"}, claim)
        stored = generations.stored_sizes(small_manifest("g1"), claim)
        assert (stored.chunks, list(stored.records)) == ({"small": [0], "two": [CHUNK, 0]}, [1])

    def test_stored_chunks_are_overwritten_only_on_request(self, generations: Any) -> None:
        """A second write keeps the stored chunk; `overwrite_chunk` replaces it."""
        claim = generations.claim("g1", 1)
        generations.write_part("g1", "small", b"wrong", claim=claim)
        generations.write_part("g1", "small", b"right", claim=claim)
        assert list(generations.read_part("g1", "small", 5)) == [b"wrong"]
        generations.overwrite_chunk("small", b"right", 0, claim)
        assert list(generations.read_part("g1", "small", 5)) == [b"right"]

    @pytest.mark.parametrize("missing", ["chunk", "short", "user"])
    def test_an_incomplete_generation_gets_no_manifest(self, generations: Any, missing: str) -> None:
        """A missing chunk, a short chunk or a missing record is refused with the remedy."""
        claim = generations.claim("g1", 1)
        generations.write_part("g1", "small", b"x" * (4 if missing == "short" else 5), claim=claim)
        generations.write_part("g1", "two", b"x" * (CHUNK + (missing != "chunk")), claim=claim)
        generations.write_users("g1", 1, {"a": b""} if missing == "user" else {"a": b"", "b": b""}, claim)
        with pytest.raises(GenerationError, match=r"not whole in the store.+noeviction"):
            finish_small(generations, "g1", claim)
        assert generations.generations() == []
