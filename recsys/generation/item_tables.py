"""The item columns of one generation as arrays: what retrieval, ranking and the gateway look up by item row."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from recsys.fresh_items.grown_column import table
from recsys.generation.packed_strings import StringIndex, StringTable
from recsys.kernels.compiled import plain
from recsys.kernels.tables import Table, all_known
from recsys.model.context_lift import ContextLift
from recsys.model.neighbour_tables import Neighbours
from recsys.types import F32, F64, I8, I32, PAD, Bool

POPULARITY_WINDOWS = ("all", "30d", "7d", "decayed")
"""Columns of `popularity`: interactions ever, in the last 30 and 7 days, and with a half-life of 7 days."""

NEWEST = 4_096
"""Items among which new ones are looked for, where no source brought enough of them."""


@dataclass(frozen=True)
class ItemTables:
    """One row an item, in the same order everywhere.

    ids, titles: strings; those of the ids can be looked up. embeddings: [n, d] float32, L2-normalised. rounded: [n, W]
    int8, the same as bytes, for exact search. content: [n, C] int32 tokens. popularity: [n, 4] float32 counts, see
    POPULARITY_WINDOWS. by_popularity: [n] int32 rows, most popular of late first. age: [n] float32 days since first
    seen, at the data's end. covisit, follow, ease: neighbours by what is done soon after, right after, and by EASE; the
    last is empty where the catalogue is too large for it. context_lift: in which contexts an item is taken more than
    others are.
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
    covisit: Neighbours
    follow: Neighbours
    ease: Neighbours
    context_lift: ContextLift

    def __len__(self) -> int:
        return len(self.embeddings)

    def knows(self, rows: I32) -> Bool:
        """Whether each row is an item of these tables, or PAD."""
        known: Bool = (rows >= PAD) & (rows < len(self))
        return known

    def knows_all(self, rows: I32) -> bool:
        """Whether all of rows [B, K] are items of these tables, or PAD."""
        base, late, _ = self.available_table
        return bool(all_known(len(base), late, plain(rows)))

    @cached_property
    def embedding_table(self) -> Table:
        """The embeddings, as kernels read them."""
        return table(self.embeddings)

    @cached_property
    def content_table(self) -> Table:
        """The content, as kernels read it."""
        return table(self.content)

    @cached_property
    def available_table(self) -> Table:
        """What is available, as kernels read it."""
        return table(self.available)

    @property
    def put_tokens(self) -> I32:
        """The tokens of put items that filters compare: [m, tokens]. These tables have no put items."""
        return np.asarray(self.content)[:0]

    @cached_property
    def vocabulary(self) -> int:
        """One more than the largest content token."""
        return int(self.content.max(initial=0)) + 1

    @cached_property
    def newest(self) -> I32:
        """The NEWEST rows that were first seen last, newest first; one that nobody took yet counts as new."""
        age = np.asarray(self.age)
        rows = np.argpartition(age, NEWEST)[:NEWEST] if len(age) > NEWEST else np.arange(len(age))
        newest: I32 = rows[np.lexsort((rows, age[rows]))].astype(np.int32)
        return newest

    def save(self, folder: Path) -> None:
        """Write every table as npy files into `folder`."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, StringTable):
                np.save(folder / f"{field.name}.data.npy", value.data)
                np.save(folder / f"{field.name}.offsets.npy", value.offsets)
                if field.name == "ids":
                    np.save(folder / "ids.hashes.npy", value.index.hashes)
                    np.save(folder / "ids.rows.npy", value.index.rows)
            elif isinstance(value, Neighbours | ContextLift):
                value.save(folder, field.name)
            else:
                np.save(folder / f"{field.name}.npy", value)

    @classmethod
    def load(cls, folder: Path) -> ItemTables:
        """Map the tables of `folder` into memory, shared by every process of the host; nothing is unpickled."""

        def mapped(name: str) -> np.ndarray:
            # A plain array over the same pages: of a memmap every slice, and every look-up, takes 5 microseconds more.
            return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))

        def strings(name: str, index: StringIndex | None = None) -> StringTable:
            return StringTable(mapped(f"{name}.data"), mapped(f"{name}.offsets"), index)

        def neighbours(name: str) -> Neighbours:
            return Neighbours(mapped(f"{name}.rows"), mapped(f"{name}.weights"))

        return cls(
            ids=strings("ids", StringIndex(mapped("ids.hashes"), mapped("ids.rows"))),
            titles=strings("titles"),
            embeddings=mapped("embeddings"),
            rounded=mapped("rounded"),
            content=mapped("content"),
            available=mapped("available"),
            popularity=mapped("popularity"),
            by_popularity=mapped("by_popularity"),
            age=mapped("age"),
            numbers=mapped("numbers"),
            covisit=neighbours("covisit"),
            follow=neighbours("follow"),
            ease=neighbours("ease"),
            context_lift=ContextLift(mapped("context_lift.table"), mapped("context_lift.starts")),
        )
