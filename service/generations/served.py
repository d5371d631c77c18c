"""What the gateway holds of a generation: item columns, the spec, the popular items. No model."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recsys.fresh_items.caches import ItemArrayCache, SnapshotCache
from recsys.fresh_items.catalogue_changes import CatalogueChanges, encode_put_items
from recsys.fresh_items.extended_column import ExtendedColumn
from recsys.fresh_items.put_items import CATEGORIES, PutItem, PutItems
from recsys.generation import content_checks
from recsys.generation.item_tables import ItemTables
from recsys.generation.manifest import GenerationFolder, Manifest
from recsys.model.feature_spec import CONTENT_TOKENS, NO_TOKEN, FeatureSpec
from recsys.retrieval.sources.popular import most_popular
from recsys.types import CANDIDATES, F64, I32, Bool, Id


@dataclass(frozen=True)
class ServedGeneration:
    """What the gateway needs of a generation.

    fresh: what was put since, where anything was. pinned: whether it comes from the bento and not from the store.
    """

    manifest: Manifest
    tables: ItemTables
    spec: FeatureSpec
    fresh: CatalogueChanges | None = None
    pinned: bool = False

    @classmethod
    def load(cls, folder: GenerationFolder) -> ServedGeneration:
        """Load from a sound folder; GenerationError where it can't be read."""
        with content_checks.readable(folder.manifest.id):
            pinned = folder.path.is_symlink()  # by `GenerationCache.link`
            generation = cls(folder.manifest, folder.tables(), folder.spec(), pinned=pinned)
            generation.tables.ids.prepare()
            generation.popular  # noqa: B018 - computed now, not in a request
        return generation

    @cached_property
    def id(self) -> str:
        """The generation's id."""
        return self.manifest.id

    @cached_property
    def popular(self) -> I32:
        """The available item rows that are recently most popular, best first: as many as a query has candidates."""
        return most_popular(self.tables, CANDIDATES)

    def with_items(self, puts: PutItems) -> ServedGeneration:
        """The generation and what was put since; itself where nothing was."""
        return self._joined.of(puts) if len(puts) else self

    @cached_property
    def _joined(self) -> SnapshotCache[ServedGeneration]:
        def join(puts: PutItems) -> ServedGeneration:
            joined = copy.copy(self)  # with what was computed once already
            segment = CatalogueChanges.of(puts, self.tables.ids.rows_of, self.tables.available, self.manifest.data_end)
            object.__setattr__(joined, "fresh", segment)
            content, hashed, numbers = kept.of(segment.items)
            object.__setattr__(joined, "_content", ExtendedColumn(self.tables.content, segment.rows, content))
            object.__setattr__(joined, "_hashed", hashed)
            object.__setattr__(joined, "_numbers", ExtendedColumn(self.tables.numbers, segment.rows, numbers))
            return joined

        kept = ItemArrayCache(lambda items: encode_put_items(items, self.spec))
        return SnapshotCache(join)

    @cached_property
    def _content(self) -> ExtendedColumn:
        """Of every row; with what was put it is given by `_joined`."""
        return ExtendedColumn(self.tables.content, np.zeros(0, np.int32), np.zeros((0, CONTENT_TOKENS), np.int32))

    @cached_property
    def _hashed(self) -> I32:
        """Hashed tokens of what was put, as `_content`."""
        return np.zeros((0, CONTENT_TOKENS), np.int32)

    @cached_property
    def _numbers(self) -> ExtendedColumn:
        """As `_content`."""
        numbers = self.tables.numbers
        return ExtendedColumn(numbers, np.zeros(0, np.int32), numbers[:0])

    def row_of(self, item: Id) -> int | None:
        """The row of an item; None for one that is not known."""
        return self.rows_of([item])[0]

    def rows_of(self, items: Sequence[Id]) -> list[int | None]:
        """The row of each item, None for one that is not known."""
        texts = [*map(str, items)]
        found = self.tables.ids.rows_of(texts)
        if self.fresh is None:
            return found
        fresh = self.fresh.by_id
        return [fresh.get(text) if row is None else row for text, row in zip(texts, found, strict=True)]

    def has_value(self, column: str, value: str) -> bool:
        """Whether an item has this value in a categorical column, one of the generation or one put since."""
        known = f"{column}={value}" in self.spec.token_rows
        return known or (self.fresh is not None and (column, value) in self.fresh.values)

    def has_learned(self, item: PutItem) -> bool:
        """Whether the generation knows an item put, and by data that goes on after its last put."""
        return item.put_at <= self.manifest.data_end and item.text in self.tables.ids

    def item_rows(self, items: Sequence[Id]) -> I32:
        """Rows of the items that are known, in their order."""
        return np.array([row for row in self.rows_of(items) if row is not None], np.int32)

    def title(self, row: int) -> str:
        """The title, empty where there is none."""
        if self.fresh is None:
            return self.tables.titles[row]
        if row >= len(self.tables):
            return self.fresh.by_row[row].title or ""
        return self.fresh.titles.get(row) or self.tables.titles[row]

    def shows(self, rows: I32) -> Bool:
        """Which rows are items that may be shown; retrieval may return one that this process has not received yet."""
        if self.fresh is not None:
            return self.fresh.shows(rows)
        shown: Bool = rows < len(self.tables)
        if shown.all():
            return self.tables.available[rows]
        shown[shown] = self.tables.available[rows[shown]]
        return shown

    def knows(self, rows: I32) -> Bool:
        """Which rows are PAD, or items that this process has received; retrieval may have received more."""
        return self._content.knows(rows)

    def content(self, rows: I32) -> I32:
        """Content tokens [n, C] of rows; none of a fresh item that this process has not received."""
        known = self.knows(rows)
        return np.where(known[:, None], self._content[np.where(known, rows, 0)], NO_TOKEN)

    def filter_tokens(self, rows: I32) -> I32:
        """Content tokens of rows, and the hashed tokens of put items: [n, 2 C], or [n, C] where no row is put."""
        content = self.content(rows)
        put = (rows >= len(self.tables)) & self.knows(rows)
        if self.fresh is None or not put.any():
            return content
        hashed = np.zeros_like(content)
        hashed[put] = self._hashed[np.searchsorted(self.fresh.rows, rows[put])]
        return np.concatenate([content, hashed], axis=1)

    def content_of(self, row: int) -> dict[str, Any]:
        """The columns of an item: numbers and truths, a list of categories, texts as far as tokens hold them."""
        if self.fresh is not None and row in self.fresh.by_row:
            return dict(self.fresh.by_row[row].content)
        spec, content = self.spec, dict[str, Any]()
        for token in self.tables.content[row].tolist():
            column, is_value, value = spec.tokens[token].partition("=")
            if token == NO_TOKEN or not is_value or column in spec.booleans:
                continue
            if column == CATEGORIES:
                content[column] = [*content.get(column, ()), value]
            else:
                content[column] = value
        for column, number in zip(spec.numbers, self.tables.numbers[row].tolist(), strict=True):
            if number == number:
                content[column] = number == 1 if column in spec.booleans else number
        return content

    def numbers(self, rows: I32) -> F64:
        """The columns `FeatureSpec.numbers` of rows, [n, columns]; NaN of a fresh item that is not known here yet."""
        known = self.knows(rows)
        return np.where(known[:, None], self._numbers[np.where(known, rows, 0)], np.nan)

    def item_id(self, row: int) -> Id:
        """The id as it came."""
        if self.fresh is not None and row >= len(self.tables):
            return self.fresh.by_row[row].item_id
        text = self.tables.ids[row]
        return int(text) if self.manifest.settings["item_id_type"] == "int" else text
