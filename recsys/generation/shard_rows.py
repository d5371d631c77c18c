"""The item tables of one shard, which maps a range of the items, and what it reads of all other items from the files.

A model and a search in a shard name items by local rows: from 0 on those of the range, then the items put since.
Calls and answers name them by the rows of the generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recsys.errors import GenerationError
from recsys.files.mapped_array import mapped_array
from recsys.files.row_reader import RowReader
from recsys.fresh_items.extended_column import ExtendedColumn, table
from recsys.generation.item_tables import ItemTables
from recsys.generation.packed_strings import StringTable
from recsys.generation.shard import Shard
from recsys.kernels.kernel_table import KernelTable
from recsys.kernels.top_k import LOW, NO_KEY, U64, rows_of
from recsys.model.context_lift import ContextLift
from recsys.model.neighbour_tables import Neighbours
from recsys.types import I32, PAD, Bool

_READ = "embeddings", "content", *(f"{name}.{part}" for name in ("covisit", "ease") for part in ("rows", "weights"))
"""Arrays of which a shard reads the rows of a user's past items."""


class AllRows:
    """The rows of a process that has all items: local rows are those of the generation."""

    def holds(self, tables: ItemTables, rows: I32) -> Bool:
        """Whether each row of the generation is PAD, an item of it, or an item put since that `tables` have."""
        return tables.holds(rows)

    def knows_all(self, tables: ItemTables, rows: I32) -> bool:
        """Whether `holds` is true for all rows [B, K]."""
        return tables.knows_all(rows)

    def local(self, rows: I32) -> I32:
        """The local rows of rows of the generation; PAD for an item of another shard."""
        return rows

    def global_rows(self, rows: I32) -> I32:
        """Inverse of `local`."""
        return rows

    def global_keys(self, keys: U64) -> U64:
        """Sort keys of local rows as keys of rows of the generation."""
        return keys

    def past(self, rows: I32, tables: ItemTables) -> tuple[I32, ItemTables | PastTables]:
        """Tables that have the items at rows [B, H] of the generation, and their rows in these tables."""
        return rows, tables


class ShardRows(AllRows):
    """Translates rows of a generation and local rows of a shard, whose tables it maps."""

    def __init__(self, folder: Path, shard: Shard, items: int) -> None:
        """items: of the generation; GenerationError if they are fewer than the shards."""
        if items < shard.count:
            raise GenerationError(f"{items} items can't be in {shard.count} shards; use fewer shards.")
        self.shard, self.range = shard, shard.rows(items)
        self._folder, self._items = folder, items
        self._local = self.range.stop - self.range.start
        self._readers = {name: RowReader(folder, name) for name in _READ}

    @cached_property
    def tables(self) -> ItemTables:
        """The tables of the range, mapped. Those that retrieval reads of other items, or not at all, are empty."""
        own: dict[str, Any] = dict.fromkeys(("ids", "titles"), StringTable.pack(()))
        own |= dict.fromkeys(("covisit", "follow", "ease"), Neighbours.none(0))
        own["context_lift"] = ContextLift(np.zeros((0, 0), np.float32), np.zeros(1, np.int32))
        own["by_popularity"] = np.argsort(self.popularity_places).astype(np.int32)
        names = [field.name for field in fields(ItemTables) if field.name not in own]
        return ItemTables(**own | {name: mapped_array(self._folder, name, self.range) for name in names})

    @cached_property
    def popularity_places(self) -> I32:
        """The place of each item of the range among all items by popularity, 0 for the most popular."""
        places = np.empty(self._items, np.int32)
        places[mapped_array(self._folder, "by_popularity")] = np.arange(self._items, dtype=np.int32)
        return places[self.range].copy()

    def find(self, texts: Sequence[str]) -> list[int | None]:
        """The local row of each id: PAD in another shard, None if the generation lacks it."""
        if not texts:
            return []
        rows = StringTable.load(self._folder, "ids", indexed=True).find(texts)
        return [None if row is None else int(self.local(np.array([row], np.int32))[0]) for row in rows]

    def holds(self, tables: ItemTables, rows: I32) -> Bool:
        """See `AllRows`."""
        put = np.where(rows < self._items, PAD, rows - self._items + self._local).astype(np.int32)
        known: Bool = (rows >= PAD) & ((rows < self._items) | tables.holds(put))
        return known

    def knows_all(self, tables: ItemTables, rows: I32) -> bool:
        """See `AllRows`."""
        return bool(self.holds(tables, rows).all())

    def local(self, rows: I32) -> I32:
        """See `AllRows`."""
        own = (rows >= self.range.start) & (rows < self.range.stop)
        put = np.where(rows < self._items, PAD, rows - self._items + self._local)
        return np.where(own, rows - self.range.start, put).astype(np.int32)

    def global_rows(self, rows: I32) -> I32:
        """See `AllRows`."""
        moved = np.where(rows < self._local, rows + self.range.start, rows - self._local + self._items)
        return np.where(rows < 0, PAD, moved).astype(np.int32)

    def global_keys(self, keys: U64) -> U64:
        """See `AllRows`."""
        rows = self.global_rows(rows_of(keys)).astype(np.uint32)
        return np.where(keys == NO_KEY, NO_KEY, (keys & ~LOW) | rows)

    def past(self, rows: I32, tables: ItemTables) -> tuple[I32, ItemTables | PastTables]:
        """See `AllRows`. The tables are read from the files."""
        wanted = rows[(rows >= 0) & (rows < self._items)]
        read = np.unique(wanted) if len(wanted) else np.zeros(1, np.int32)  # a table of no rows can't be indexed
        places = np.where(rows < self._items, np.searchsorted(read, rows), rows - self._items + len(read))
        return np.where(rows < 0, PAD, places).astype(np.int32), PastTables(self, read, tables)

    def read(self, name: str, rows: I32) -> np.ndarray:
        """Rows of an array of the generation, from its file."""
        return self._readers[name].take(rows)


class PastTables:
    """The item tables of some rows of a generation, read when they are first used, and of the items put since."""

    def __init__(self, shard: ShardRows, rows: I32, tables: ItemTables) -> None:
        self._shard, self._rows, self._tables = shard, rows, tables

    @cached_property
    def embeddings(self) -> np.ndarray | ExtendedColumn:
        """See `ItemTables`."""
        return self._column("embeddings")

    @cached_property
    def embedding_table(self) -> KernelTable:
        """The embeddings for kernels."""
        return table(self.embeddings)

    @cached_property
    def content_table(self) -> KernelTable:
        """The content for kernels."""
        return table(self._column("content"))

    @cached_property
    def covisit(self) -> Neighbours:
        """Neighbours as local rows; PAD for those of other shards."""
        return self._neighbours("covisit")

    @cached_property
    def ease(self) -> Neighbours:
        """As `covisit`."""
        return self._neighbours("ease")

    def _column(self, name: str) -> np.ndarray | ExtendedColumn:
        read, column = self._shard.read(name, self._rows), getattr(self._tables, name)
        if not isinstance(column, ExtendedColumn):
            return read
        return ExtendedColumn(read, column.rows - len(column.base) + len(read), column.tail)

    def _neighbours(self, name: str) -> Neighbours:
        rows, weights = (self._shard.read(f"{name}.{part}", self._rows) for part in ("rows", "weights"))
        rows = self._shard.local(rows)
        rows.flags.writeable = False  # as a mapped table: Numba compiles a kernel again for the other kind
        return Neighbours(rows, weights)
