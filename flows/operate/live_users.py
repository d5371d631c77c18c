"""Users of the live generation: the people that a load test sends requests for."""

from __future__ import annotations

from recsys.errors import NOTHING_LIVE, NoGeneration
from recsys.generation.manifest import Manifest
from recsys.store.flow_port import FlowStore
from recsys.store.ports import LIVE, GenerationStore

COUNT = 16_000
"""Users of a load test, at most: as many as it has where users are named by a number."""


def live_users(generations: GenerationStore, store: FlowStore) -> list[str]:
    """Ids of at most COUNT users who have a record in the live generation; the same ones on each call."""
    live = generations.alias(LIVE)
    text = generations.read_manifest(live) if live else None
    if live is None or text is None:
        raise NoGeneration(NOTHING_LIVE)
    found: list[str] = []
    for bucket in range(Manifest.from_json(text).user_buckets):
        found += sorted(store.read_bucket(live, bucket))
        if len(found) >= COUNT:
            break
    return found[:COUNT]
