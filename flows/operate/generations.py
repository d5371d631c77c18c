"""List the generations (trained sets of models and tables) in the store, for the command `python -m flows generations`.

Each has its age, metrics, size and aliases, and the server processes that have it loaded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.table import Table

from flows.operate.status import duration_text, metric_text
from recsys.errors import GenerationError, StoreError
from recsys.generation.manifest import Manifest
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.stored_types import LIVE, PREVIOUS
from training.evaluation.metric_table import METRICS, SERVED


@dataclass(frozen=True, slots=True)
class Row:
    """One generation. age: seconds. metrics: the measured ones of the served model. bytes: of all parts.

    held_by: processes that have it loaded. note: the reason why the other figures are missing.
    """

    id: str
    created: float | None = None
    age: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    bytes: int | None = None
    aliases: list[str] = field(default_factory=list)
    held_by: list[str] = field(default_factory=list)
    note: str = ""


def holders(registry: RedisProcessRegistry) -> dict[str, list[str]]:
    """The processes that hold each generation; empty if their announcements can't be read."""
    held: dict[str, list[str]] = {}
    with suppress(StoreError):
        for process in registry.processes():
            for generation in process.held:
                held.setdefault(generation, []).append(process.name)
    return held


def list_generations(store: RedisGenerationStore, held: Mapping[str, Sequence[str]]) -> list[Row]:
    """All generations of `store` in the order of their publication, the newest last."""
    named: dict[str | None, list[str]] = {}
    for alias in (LIVE, PREVIOUS):
        named.setdefault(store.alias(alias), []).append(alias)
    return [
        _row(generation, store.read_manifest(generation), named.get(generation, []), list(held.get(generation, [])))
        for generation in store.generations()
    ]


def _row(generation: str, text: bytes | None, aliases: list[str], held_by: list[str]) -> Row:
    if text is None:
        return Row(generation, aliases=aliases, held_by=held_by, note="its manifest is gone")
    try:
        manifest = Manifest.from_json(text, any_format=True)
    except GenerationError as error:
        return Row(generation, aliases=aliases, held_by=held_by, note=str(error))
    served: dict[str, Any] = manifest.metrics.get(SERVED, {})
    metrics = {name: served[name] for name in METRICS if served.get(name) is not None}
    age = max(0.0, round(time.time() - manifest.created, 1))
    return Row(generation, manifest.created, age, metrics, manifest.size, aliases, held_by)


def to_table(rows: Sequence[Row]) -> Table:
    """The table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("generation", "age", *METRICS, "MiB", "alias"):
        right = name in METRICS or name == "MiB"
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(
            row.id,
            row.note if row.age is None else duration_text(row.age),
            *(metric_text(row.metrics, metric) for metric in METRICS),
            "-" if row.bytes is None else f"{row.bytes / 2**20:,.1f}",
            ", ".join(row.aliases),
            style="bold" if LIVE in row.aliases else None,
        )
    return table


def holder_lines(rows: Sequence[Row]) -> list[str]:
    """A line with the processes that hold each generation: a table of 80 columns has no room for them."""
    return [f"{row.id} is held by {', '.join(row.held_by)}." for row in rows if row.held_by]
