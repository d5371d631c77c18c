"""Item tables extended by items added after training (PUT /items), so that models and search treat all items alike.

An added item has what training gives an item without interactions: its content (categories and other columns as
integers), the embedding of the content, no popularity, no age and no neighbours (tests/unit/retrieval/test_fresh.py
compares the two).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import cast

import numpy as np

from recsys.fresh_items.caches import ItemArrayCache
from recsys.fresh_items.catalogue_changes import CatalogueChanges, encode_put_items
from recsys.fresh_items.extended_column import ExtendedColumn
from recsys.fresh_items.put_items import PutItem, PutItems
from recsys.generation.item_tables import POPULARITY_WINDOWS, ItemTables
from recsys.generation.manifest import TOWERS, GenerationFolder
from recsys.model.feature_spec import FeatureSpec
from recsys.model.item_encoder import ItemEncoder
from recsys.types import F32, F64, I32, Bool


@dataclass(frozen=True)
class ExtendedTables(ItemTables):
    """The tables of a generation with the rows of new items. hashed: the hashed tokens of the new items, [m, C]."""

    changes: CatalogueChanges
    hashed: I32

    @cached_property
    def put_tokens(self) -> I32:
        """Content tokens and hashed tokens of the new items: [m, 2 C]."""
        return np.concatenate([cast(ExtendedColumn, self.content).tail, self.hashed], axis=1)

    def knows(self, rows: I32) -> Bool:
        """Whether each row is an item of the generation, a new item that this process received, or PAD."""
        return self.changes.available.knows(rows)

    @classmethod
    def of(
        cls, tables: ItemTables, changes: CatalogueChanges, content: I32, hashed: I32, numbers: F64, embeddings: F32
    ) -> ExtendedTables:
        """Extend `tables` by new items: content and hashed [m, C], numbers [m, columns], embeddings [m, d]."""
        m = len(changes.rows)

        def extended(base: np.ndarray, tail: np.ndarray) -> np.ndarray:
            # Tables are only indexed by rows, where an ExtendedColumn returns what an array returns.
            return cast(np.ndarray, ExtendedColumn(base, changes.rows, tail))

        own = {field.name: getattr(tables, field.name) for field in fields(ItemTables)}
        return cls(
            **own
            | {
                "embeddings": extended(tables.embeddings, embeddings),
                "content": extended(tables.content, content),
                "available": changes.available,
                "popularity": extended(tables.popularity, np.zeros((m, len(POPULARITY_WINDOWS)), np.float32)),
                "age": extended(tables.age, np.zeros(m, np.float32)),
                "numbers": extended(tables.numbers, numbers),
                "changes": changes,
                "hashed": hashed,
            }
        )


class TableExtender:
    """Extends the item tables of one generation by items added since.

    Rows and encodings of the last snapshot are kept for the next one. Two threads may extend at once.
    """

    def __init__(self, tables: ItemTables, spec: FeatureSpec, encoder: ItemEncoder, until: float) -> None:
        """until: the end of the generation's data, unix seconds."""
        self._tables = tables
        self._spec = spec
        self._encoder = encoder
        self._until = until
        self._found: dict[str, int | None] = {}
        self._encoded = ItemArrayCache(self._encode)

    @classmethod
    def load(cls, folder: GenerationFolder, tables: ItemTables) -> TableExtender:
        """The extender of a verified generation."""
        return cls(tables, folder.spec(), ItemEncoder.load(folder.path / TOWERS), folder.manifest.data_end)

    def extend(self, puts: PutItems) -> ExtendedTables:
        """The tables with every added item that the generation lacks."""
        changes = CatalogueChanges.of(puts, self._find, self._tables.available, self._until)
        return ExtendedTables.of(self._tables, changes, *self._encoded.of(changes.items))

    def _find(self, texts: Sequence[str]) -> list[int | None]:
        """The generation's rows of ids; those of the last call are not looked up again."""
        last = self._found
        new = [text for text in texts if text not in last]
        found = last | dict(zip(new, self._tables.ids.find(new), strict=True))
        self._found = {text: found[text] for text in texts}
        return [found[text] for text in texts]

    def _encode(self, items: Sequence[PutItem]) -> tuple[I32, I32, F64, F32]:
        """Content, hashed tokens, numbers and embeddings of items."""
        content, hashed, numbers = encode_put_items(items, self._spec)
        return content, hashed, numbers, self._encoder.encode(content)
