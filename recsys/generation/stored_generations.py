"""The generations (trained sets of models and tables) in the store as a list, for commands and the page /operations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from recsys.errors import GenerationError
from recsys.generation.manifest import Manifest
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import LIVE, PREVIOUS

SERVED = "two_stage"
"""The row of the metric table that has the served model; `training.judge.metric_table` writes it."""


@dataclass(frozen=True, slots=True)
class StoredGeneration:
    """One generation. created: unix seconds. metrics: of the served model, None where not measured.

    bytes: of all parts. note: the reason why the other figures are missing; empty if they are there.
    """

    id: str
    created: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    bytes: int | None = None
    aliases: list[str] = field(default_factory=list)
    note: str = ""


def list_generations(store: RedisGenerationStore, most: int | None = None) -> list[StoredGeneration]:
    """The generations in the order of their publication, the newest last.

    most: leave out older ones beyond so many, but never those that an alias names.
    """
    names: dict[str | None, list[str]] = {}
    for alias, generation in zip((LIVE, PREVIOUS), store.aliases((LIVE, PREVIOUS)), strict=True):
        names.setdefault(generation, []).append(alias)
    ids = store.generations()
    newest = ids if most is None else [*filter(names.get, ids[:-most]), *ids[-most:]]
    texts = store.read_manifests(newest)
    return [_described(each, names.get(each, []), text) for each, text in zip(newest, texts, strict=True)]


def _described(generation: str, aliases: list[str], text: bytes | None) -> StoredGeneration:
    if text is None:
        return StoredGeneration(generation, aliases=aliases, note="its manifest is gone")
    try:
        manifest = Manifest.from_json(text, any_format=True)
    except GenerationError as error:
        return StoredGeneration(generation, aliases=aliases, note=str(error))
    return StoredGeneration(generation, manifest.created, manifest.metrics.get(SERVED, {}), manifest.size, aliases)
