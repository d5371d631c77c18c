"""The generations in the store, a line each: what a person looks at before moving an alias."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.table import Table

from flows.operate.status import span
from recsys.errors import GenerationError, StoreError
from recsys.generation.manifest import Manifest
from recsys.store.ports import LIVE, PREVIOUS, GenerationStore
from recsys.store.process_board import ProcessBoard
from training.evaluation.metric_table import METRICS, SERVED

Holders = Callable[[], Mapping[str, Sequence[str]]]
"""Which processes hold each generation, by its id."""


def nobody() -> Mapping[str, Sequence[str]]:
    """No process is known to hold anything."""
    return {}


def holders(board: ProcessBoard) -> Mapping[str, Sequence[str]]:
    """What the processes of a deployment announced, by generation; none where the board can't be read."""
    held: dict[str, list[str]] = {}
    with suppress(StoreError):
        for process in board.processes():
            for generation in process.held:
                held.setdefault(generation, []).append(process.name)
    return held


@dataclass(frozen=True, slots=True)
class Row:
    """One generation. age: seconds since it was made. metrics: of what is served, those that were measured.

    bytes: of all parts. aliases: the names it has. held_by: processes that have it loaded. note: why nothing is told.
    """

    id: str
    created: float | None = None
    age: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    bytes: int | None = None
    aliases: list[str] = field(default_factory=list)
    held_by: list[str] = field(default_factory=list)
    note: str = ""


def list_generations(store: GenerationStore, holders: Holders = nobody) -> list[Row]:
    """Every generation in `store`, in the order they were published, the newest last."""
    held = holders()
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


def to_json(rows: Sequence[Row]) -> dict[str, Any]:
    """As programs read it."""
    return {"generations": [asdict(row) for row in rows]}


def to_table(rows: Sequence[Row]) -> Table:
    """For a person at a terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("generation", "age", *METRICS, "MiB", "alias"):
        right = name in METRICS or name == "MiB"
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(
            row.id,
            row.note if row.age is None else span(row.age),
            *(_figure(row.metrics.get(metric), "{:.4f}") for metric in METRICS),
            _figure(None if row.bytes is None else row.bytes / 2**20, "{:,.1f}"),
            ", ".join(row.aliases),
            style="bold" if LIVE in row.aliases else None,
        )
    return table


def who_holds(rows: Sequence[Row]) -> list[str]:
    """Who holds which, a line each: beside the figures there is no room for it in 80 columns."""
    return [f"{row.id} is held by {', '.join(row.held_by)}." for row in rows if row.held_by]


def _figure(value: float | None, how: str) -> str:
    return "-" if value is None else how.format(value)
