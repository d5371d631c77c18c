"""Users of the live generation: the people that a load test sends requests for."""

from __future__ import annotations

from recsys.errors import NOTHING_LIVE, NoGeneration
from recsys.generation import Manifest
from recsys.store.base import LIVE, FlowStore, GenerationStore


def live_users(generations: GenerationStore, store: FlowStore, count: int) -> list[str]:
    """Ids of at most `count` users who have a record in the live generation; the same ones on each call."""
    live = generations.alias(LIVE)
    text = generations.read_manifest(live) if live else None
    if live is None or text is None:
        raise NoGeneration(NOTHING_LIVE)
    found: list[str] = []
    for bucket in range(Manifest.from_json(text).user_buckets):
        found += sorted(store.read_bucket(live, bucket))
        if len(found) >= count:
            break
    return found[:count]
