"""The part of the served generation (trained models and tables) that the gateway holds: item tables, but no model.

It has the item columns, the spec of features, and the popular items. Items that were added or changed since the
training, through PUT /items, are joined to it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recsys.fresh_items.catalogue_changes import CatalogueChanges
from recsys.fresh_items.extended_tables import ExtendedTables, SnapshotCache, TableExtender
from recsys.fresh_items.put_items import CATEGORIES, PutItem, PutItems
from recsys.generation import content_checks
from recsys.generation.item_tables import ItemTables
from recsys.generation.manifest import GenerationFolder, Manifest
from recsys.model.feature_spec import NO_TOKEN, FeatureSpec
from recsys.retrieval.sources.popular import most_popular
from recsys.types import CANDIDATES, I32, Bool, Id


@dataclass(frozen=True)
class ServedGeneration:
    """The part of a generation that the gateway needs.

    extended: the tables with the items added or changed since through PUT /items, without their embeddings; None if
    there are none. pinned: whether the generation is from the bento.
    """

    manifest: Manifest
    tables: ItemTables
    spec: FeatureSpec
    extended: ExtendedTables | None = None
    pinned: bool = False

    @classmethod
    def load(cls, folder: GenerationFolder) -> ServedGeneration:
        """Load from a sound folder; GenerationError if the folder can't be read."""
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

    @property
    def dataset(self) -> str:
        """The name of the dataset that the generation was trained on; empty if the manifest has none."""
        return str(self.manifest.data.get("name", ""))

    @cached_property
    def popular(self) -> I32:
        """The available item rows that are recently most popular, best first: as many as a query has candidates."""
        return most_popular(self.tables, CANDIDATES)

    def with_items(self, puts: PutItems) -> ServedGeneration:
        """The generation with the items put since (PUT /items); the generation itself if there are none."""
        return self._joined.of(puts) if len(puts) else self

    @cached_property
    def _joined(self) -> SnapshotCache[ServedGeneration]:
        extender = TableExtender(self.tables, self.spec, self.manifest.data_end)

        def join(puts: PutItems) -> ServedGeneration:
            joined = copy.copy(self)  # with the cached properties
            object.__setattr__(joined, "extended", extender.extend(puts))
            return joined

        return SnapshotCache(join)

    @property
    def fresh(self) -> CatalogueChanges | None:
        """The items added or changed since; None if there are none."""
        return None if self.extended is None else self.extended.changes

    @property
    def all_tables(self) -> ItemTables:
        """The tables with the items added since, whose embeddings are zero."""
        return self.tables if self.extended is None else self.extended

    def row_of(self, item: Id) -> int | None:
        """The row of an item; None for an unknown item."""
        return self.rows_of([item])[0]

    def rows_of(self, items: Sequence[Id]) -> list[int | None]:
        """The row of each item, None for an unknown item."""
        texts = [*map(str, items)]
        found = self.tables.ids.rows_of(texts)
        if self.fresh is None:
            return found
        fresh = self.fresh.by_id
        return [fresh.get(text) if row is None else row for text, row in zip(texts, found, strict=True)]

    def unknown_items(self, items: Iterable[Id]) -> list[Id]:
        """The items that have no row, each once."""
        items = list(items)
        return list(dict.fromkeys(each for each, row in zip(items, self.rows_of(items), strict=True) if row is None))

    def unknown_types(self, event_types: Iterable[str]) -> list[str]:
        """The event types that the generation does not have, each once."""
        return list(dict.fromkeys(each for each in event_types if self.spec.is_unknown(each)))

    def has_value(self, column: str, value: str) -> bool:
        """Whether an item of the generation or an item put since has this value in a categorical column."""
        known = f"{column}={value}" in self.spec.token_rows
        return known or (self.fresh is not None and (column, value) in self.fresh.values)

    def has_learned(self, item: PutItem) -> bool:
        """Whether the generation has an item put, by data that is later than the last put of the item."""
        return item.put_at <= self.manifest.data_end and item.text in self.tables.ids

    def item_rows(self, items: Sequence[Id]) -> I32:
        """Rows of the known items, in the order of the items."""
        return np.array([row for row in self.rows_of(items) if row is not None], np.int32)

    def title(self, row: int) -> str:
        """The title; empty if there is none."""
        if self.fresh is None:
            return self.tables.titles[row]
        if row >= len(self.tables):
            return self.fresh.by_row[row].title or ""
        return self.fresh.titles.get(row) or self.tables.titles[row]

    def shows(self, rows: I32) -> Bool:
        """Mask of the rows that may be shown; retrieval may return an item that this process has not received yet."""
        if self.fresh is not None:
            return self.fresh.shows(rows)
        shown: Bool = rows < len(self.tables)
        if shown.all():
            return self.tables.available[rows]
        shown[shown] = self.tables.available[rows[shown]]
        return shown

    def holds(self, rows: I32) -> Bool:
        """Mask of the rows that are PAD, or items that this process has received."""
        return self.all_tables.holds(rows)

    def filter_tokens(self, rows: I32) -> I32:
        """Content tokens of known rows, and the hashed tokens of put items: [n, 2 C], or [n, C] if no row is put."""
        content = self.all_tables.content[rows]
        put = rows >= len(self.tables)
        if self.extended is None or not put.any():
            return content
        hashed = np.zeros_like(content)
        hashed[put] = self.extended.hashed[np.searchsorted(self.extended.changes.rows, rows[put])]
        return np.concatenate([content, hashed], axis=1)

    def content_of(self, row: int) -> dict[str, Any]:
        """The columns of an item: numbers, booleans, a list of categories, and the texts that are tokens."""
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

    def item_id(self, row: int) -> Id:
        """The id, as a number if ids of the dataset are numbers."""
        if self.fresh is not None and row >= len(self.tables):
            return self.fresh.by_row[row].item_id
        text = self.tables.ids[row]
        return int(text) if self.manifest.settings["item_id_type"] == "int" else text
