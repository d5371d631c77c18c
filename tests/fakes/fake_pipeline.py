"""Fakes of what a switcher of generations calls: generations with only an id, and a pipeline that answers batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Query:
    """A query with only what its slate lacks."""

    def __init__(self) -> None:
        self.degraded: list[str] = []


class Served:
    """A generation with only an id."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.manifest = type("Manifest", (), {"created": 0.0})

    def with_items(self, _: object) -> Served:
        """The same generation: no items are put."""
        return self


class Pipeline:
    """Answers every batch, or leaves out ranking. `during` runs in a batch."""

    def __init__(self) -> None:
        self.broken = False
        self.batches = 0
        self.during: Any = lambda: None

    @property
    def recovering(self) -> bool:
        """Whether a stage is away."""
        return self.broken

    async def run(self, queries: Sequence[Query], trial: bool = False) -> None:
        """Answer a batch."""
        self.batches += 1
        self.during()
        for query in queries:
            if self.broken:
                query.degraded.append("ranking")


class Settings:
    """Those that a switcher reads."""

    max_batch, deadline_ms = 2, 500
