"""Item tables: arrays with a row for each trained item, such as ids, titles, embeddings and popularity.

They are npy files that are mapped into memory, so that all processes of a host share one copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from recsys.files.mapped_array import mapped_array
from recsys.fresh_items.extended_column import table
from recsys.generation.packed_strings import StringTable
from recsys.kernels.jit import contiguous
from recsys.kernels.kernel_table import KernelTable, all_known
from recsys.model.context_lift import ContextLift
from recsys.model.neighbour_tables import Neighbours
from recsys.types import F32, F64, I8, I32, PAD, Bool

POPULARITY_WINDOWS = ("all", "30d", "7d", "decayed")
"""Columns of `popularity`: all interactions, those of the last 30 and 7 days, and with a half-life of 7 days."""

NEWEST = 4_096
"""Items in `newest`, from which a quota of new items is filled if the candidates have too few."""


@dataclass(frozen=True)
class ItemTables:
    """Tables with one row for each item, all in the same order.

    embeddings: [n, d] float32, L2-normalised. rounded: [n, W] int8, the embeddings rounded for exact search. content:
    [n, C] int32 tokens. popularity: [n, 4] float32 counts of POPULARITY_WINDOWS. by_popularity: [n] int32 rows, the
    most popular of recent days first. age: [n] float32 days from the first interaction to the end of the data. numbers:
    [n, columns] float64, see `FeatureSpec.numbers`. own: [n, columns] float32, see `FeatureSpec.own_values`. covisit,
    follow, ease: neighbours by interactions soon after, right after, and by the EASE model; ease is empty if the
    catalogue is too large. context_lift: the contexts in which an item is more popular than in others.
    """

    ids: StringTable
    titles: StringTable
    embeddings: F32
    rounded: I8
    content: I32
    available: Bool
    popularity: F32
    by_popularity: I32
    age: F32
    numbers: F64
    own: F32
    covisit: Neighbours
    follow: Neighbours
    ease: Neighbours
    context_lift: ContextLift

    def __len__(self) -> int:
        return len(self.embeddings)

    def holds(self, rows: I32) -> Bool:
        """Whether each row is an item of these tables or PAD."""
        known: Bool = (rows >= PAD) & (rows < len(self))
        return known

    def knows_all(self, rows: I32) -> bool:
        """Whether all of rows [B, K] are items of these tables or PAD."""
        base, late, _ = self.available_table
        return bool(all_known(len(base), late, contiguous(rows)))

    @cached_property
    def embedding_table(self) -> KernelTable:
        """The embeddings for kernels."""
        return table(self.embeddings)

    @cached_property
    def content_table(self) -> KernelTable:
        """The content for kernels."""
        return table(self.content)

    @cached_property
    def own_table(self) -> KernelTable:
        """The own columns for kernels."""
        return table(self.own)

    @cached_property
    def available_table(self) -> KernelTable:
        """The availability for kernels."""
        return table(self.available)

    @property
    def put_tokens(self) -> I32:
        """The content tokens, for filters, of items added after training: [m, tokens]. These tables have none."""
        return np.asarray(self.content)[:0]

    @property
    def put_places(self) -> Mapping[str, int]:
        """The place behind all rows of each item added after training, by its id. These tables have none."""
        return {}

    @cached_property
    def vocabulary(self) -> int:
        """One more than the largest content token."""
        return int(self.content.max(initial=0)) + 1

    @cached_property
    def newest(self) -> I32:
        """The NEWEST rows with the lowest age, newest first. An item without interactions has age 0."""
        age = np.asarray(self.age)
        rows = np.argpartition(age, NEWEST)[:NEWEST] if len(age) > NEWEST else np.arange(len(age))
        newest: I32 = rows[np.lexsort((rows, age[rows]))].astype(np.int32)
        return newest

    def save(self, folder: Path) -> None:
        """Write the tables as npy files into `folder`."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, StringTable):
                value.save(folder, field.name, indexed=field.name == "ids")
            elif isinstance(value, Neighbours | ContextLift):
                value.save(folder, field.name)
            else:
                np.save(folder / f"{field.name}.npy", value)

    @classmethod
    def load(cls, folder: Path) -> ItemTables:
        """Map the tables of `folder` into memory."""
        arrays = "embeddings", "rounded", "content", "available", "popularity", "by_popularity", "age"
        return cls(
            ids=StringTable.load(folder, "ids", indexed=True),
            titles=StringTable.load(folder, "titles"),
            **{name: mapped_array(folder, name) for name in (*arrays, "numbers", "own")},
            covisit=Neighbours.load(folder, "covisit"),
            follow=Neighbours.load(folder, "follow"),
            ease=Neighbours.load(folder, "ease"),
            context_lift=ContextLift.load(folder, "context_lift"),
        )
