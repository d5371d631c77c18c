"""A generation of a few keys, and functions that publish it."""

from __future__ import annotations

from recsys.generation.manifest import Manifest, Part
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import CHUNK, Claim

PARTS = {"small": 5, "two": CHUNK + 1}


def manifest(generation: str) -> Manifest:
    return Manifest(generation, 0.0, "test", {name: Part("", size) for name, size in PARTS.items()}, {"users": 2})


def write(store: RedisGenerationStore, generation: str, claim: Claim | None = None) -> None:
    """Write a generation without its manifest."""
    for name, size in PARTS.items():
        store.write_part(generation, name, b"x" * size, claim=claim)
    store.write_users(generation, 1, {"a": b"of a", "b": b"of b"}, claim)


def finish(store: RedisGenerationStore, generation: str, claim: Claim | None = None) -> None:
    store.write_manifest(generation, manifest(generation).to_json(), claim)


def publish(store: RedisGenerationStore, *names: str) -> None:
    for generation in names:
        claim = store.claim(generation)
        write(store, generation, claim)
        finish(store, generation, claim)
        store.release(claim)
