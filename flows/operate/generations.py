"""List the generations (trained sets of models and tables) in the store, for the command `python -m flows generations`.

Each has its age, metrics, size and aliases, and the server processes that have it loaded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from rich import box
from rich.table import Table

from flows.operate.status import duration_text, metric_text
from recsys.errors import StoreError
from recsys.generation import stored_generations
from recsys.generation.stored_generations import StoredGeneration
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.stored_types import LIVE
from training.judge.metric_table import METRICS


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
    return [_row(each, list(held.get(each.id, []))) for each in stored_generations.list_generations(store)]


def _row(stored: StoredGeneration, held_by: list[str]) -> Row:
    metrics = {name: stored.metrics[name] for name in METRICS if stored.metrics.get(name) is not None}
    age = None if stored.created is None else max(0.0, round(time.time() - stored.created, 1))
    return Row(stored.id, stored.created, age, metrics, stored.bytes, stored.aliases, held_by, stored.note)


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
