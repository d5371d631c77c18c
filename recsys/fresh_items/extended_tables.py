"""Item tables extended by items added after training (PUT /items), so that models and search treat all items alike.

An added item has what training gives an item without interactions: its content (categories and other columns as
integers), the embedding of the content, no popularity, no age and no neighbours (tests/unit/retrieval/test_fresh.py
compares the two).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Generic, TypeVar, cast

import numpy as np

from recsys.fresh_items.catalogue_changes import CatalogueChanges
from recsys.fresh_items.extended_column import ExtendedColumn
from recsys.fresh_items.put_items import PutItem, PutItems
from recsys.generation.item_tables import POPULARITY_WINDOWS, ItemTables
from recsys.generation.manifest import GenerationFolder
from recsys.model.feature_spec import FeatureSpec
from recsys.types import F32, I32, Bool

T = TypeVar("T")

_Version = tuple[str, int, int, float]
"""Id, seq, version and time of an item's last put. After a store was emptied, other items have the same numbers."""


@dataclass(frozen=True)
class ExtendedTables(ItemTables):
    """The tables of a generation with the rows of new items. hashed: the hashed tokens of the new items, [m, C]."""

    changes: CatalogueChanges
    hashed: I32

    @cached_property
    def put_tokens(self) -> I32:
        """Content tokens and hashed tokens of the new items: [m, 2 C]."""
        return np.concatenate([cast(ExtendedColumn, self.content).tail, self.hashed], axis=1)

    @cached_property
    def put_places(self) -> Mapping[str, int]:
        """The place of each new item by its id, from the number of the generation's items on."""
        n = len(self.embedding_table.base)
        return {item.text: n + place for place, item in enumerate(self.changes.items)}

    def holds(self, rows: I32) -> Bool:
        """Whether each row is an item of the generation, a new item that this process received, or PAD."""
        return self.changes.available.holds(rows)

    @classmethod
    def of(cls, tables: ItemTables, changes: CatalogueChanges, encoded: Sequence[np.ndarray]) -> ExtendedTables:
        """Extend `tables` by new items. encoded: as `TableExtender.encode` returns it for these items."""
        content, hashed, numbers, own, embeddings = encoded
        m = len(changes.rows)
        tails = {
            "embeddings": embeddings,
            "content": content,
            "popularity": np.zeros((m, len(POPULARITY_WINDOWS)), np.float32),
            "age": np.zeros(m, np.float32),
            "numbers": numbers,
            "own": own,
        }
        columns = {field.name: getattr(tables, field.name) for field in fields(ItemTables)}
        # Tables are only indexed by rows, where an ExtendedColumn returns what an array returns.
        columns |= {name: ExtendedColumn(columns[name], changes.rows, tail) for name, tail in tails.items()}
        return cls(**columns | {"available": changes.available, "changes": changes, "hashed": hashed})


class TableExtender:
    """Extends the item tables of one generation by items added since.

    Rows and encodings of the last snapshot are kept for the next one, so that only new and changed items are computed.
    Two threads may extend at once.
    """

    def __init__(
        self, tables: ItemTables, spec: FeatureSpec, until: float, embed: Callable[[I32], F32] | None = None
    ) -> None:
        """until: the end of the generation's data, unix seconds. embed: see `content_encoder`; zeros without it."""
        self._tables, self._spec, self._until, self._embed = tables, spec, until, embed
        self._found: dict[str, int | None] = {}
        self._encoded: tuple[dict[_Version, int], tuple[np.ndarray, ...]] = {}, self.encode(())

    @classmethod
    def load(cls, folder: GenerationFolder, tables: ItemTables, embed: Callable[[I32], F32]) -> TableExtender:
        """The extender of a verified generation."""
        return cls(tables, folder.spec(), folder.manifest.data_end, embed)

    def extend(self, puts: PutItems) -> ExtendedTables:
        """The tables with every added item that the generation lacks."""
        changes = CatalogueChanges.of(puts, self._find, self._tables.available, self._until)
        return ExtendedTables.of(self._tables, changes, self._encode_changed(changes.items))

    def encode(self, items: Sequence[PutItem]) -> tuple[np.ndarray, ...]:
        """Content tokens [m, C], hashed tokens [m, C], numbers and own columns [m, columns], embeddings [m, d].

        Content and numbers are encoded as in training. The hashed tokens are for filters alone.
        """
        spec, contents = self._spec, [self._spec.ordered(item.content) for item in items]
        content, hashed = spec.encode_items(contents)
        width = self._tables.embeddings.shape[1]
        embeddings = self._embed(content) if self._embed else np.zeros((len(items), width), np.float32)
        numbers = spec.encode_numbers(contents)
        return content, hashed, numbers, spec.own_values(numbers), embeddings

    def _find(self, texts: Sequence[str]) -> list[int | None]:
        """The generation's rows of ids; those of the last call are not looked up again."""
        last = self._found
        new = [text for text in texts if text not in last]
        found = last | dict(zip(new, self._tables.ids.find(new), strict=True))
        self._found = {text: found[text] for text in texts}
        return [found[text] for text in texts]

    def _encode_changed(self, items: Sequence[PutItem]) -> tuple[np.ndarray, ...]:
        """As `encode`; items of the last call are not encoded again."""
        places, last = self._encoded
        versions = [(item.text, item.seq, item.version, item.put_at) for item in items]
        before = np.array([places.get(each, -1) for each in versions], np.int64)
        old, new = before >= 0, np.flatnonzero(before < 0)
        made = self.encode([items[place] for place in new.tolist()]) if len(new) else [each[:0] for each in last]
        arrays = tuple(np.empty((len(items), *each.shape[1:]), each.dtype) for each in last)
        for array, kept, added in zip(arrays, last, made, strict=True):
            array[old], array[new] = kept[before[old]], added
        self._encoded = {each: place for place, each in enumerate(versions)}, arrays
        return arrays


class SnapshotCache(Generic[T]):
    """Keeps what `make` returned for the last two snapshots of added items.

    A thread makes the value of the next snapshot while requests read that of the last.
    """

    def __init__(self, make: Callable[[PutItems], T]) -> None:
        self._make = make
        self._kept: tuple[tuple[PutItems, T], ...] = ()

    def of(self, puts: PutItems) -> T:
        """The value for a snapshot. Two threads may compute it twice."""
        for snapshot, value in self._kept:
            if snapshot is puts:
                return value
        value = self._make(puts)
        self._kept = (puts, value), *self._kept[:1]
        return value
