"""The tables of lists for Parquet files: the best items of users, and the similar items of items.

The files are for e-mail, push messages or a cache of the shop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys.lists.list_maker import ListMaker, UserData
from recsys.lists.similar_list import SimilarList
from recsys.lists.user_list import UserList
from recsys.retrieval.registry import names_of
from recsys.rules import Catalogue, compile_rules, select

MADE = [("generation", pa.string()), ("made_at", pa.float64())]

BEST_ITEMS = pa.schema(
    [
        ("user_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("score", pa.float32()),
        ("sources", pa.string()),
        *MADE,
    ]
)

SIMILAR_ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("rank", pa.int32()),
        ("similar_item_id", pa.string()),
        ("title", pa.string()),
        ("score", pa.float32()),
        ("likeness", pa.float32()),
        ("sources", pa.string()),
        *MADE,
    ]
)


@dataclass(frozen=True, slots=True)
class MadeLists:
    """The result of a part. made: lists. table: their rows for the file."""

    made: int
    table: pa.Table


def best_items(maker: ListMaker, top: int, now: float, lists: Iterable[tuple[str, UserData, UserList]]) -> pa.Table:
    """The best items of users, selected by the rules."""
    rules = compile_rules(maker.rules, maker.spec)
    tables, manifest = maker.tables, maker.manifest

    def rows(user: str, past: UserData, made: UserList) -> Iterator[tuple[object, ...]]:
        catalogue = Catalogue(tables, lambda rows: ~maker.excluded(past, rows, now), manifest.data_end, now)
        slate = select(made.items, made.scores, top, rules, catalogue, {})
        sources = dict(zip(made.items.tolist(), made.sources.tolist(), strict=True))
        for rank, (row, score) in enumerate(zip(slate.items, slate.scores, strict=True), 1):
            names = ",".join(names_of(sources.get(row, slate.source_of(row))))
            yield user, rank, tables.ids[row], maker.title(row), np.float32(score), names, manifest.id, now

    return _table((row for each in lists for row in rows(*each)), BEST_ITEMS)


def similar_items(maker: ListMaker, lists: Mapping[int, SimilarList]) -> pa.Table:
    """The similar items of items. lists: by the item's row."""
    ids, generation = maker.tables.ids, maker.manifest.id

    def rows(item: int, made: SimilarList) -> Iterator[tuple[object, ...]]:
        columns = made.items.tolist(), made.scores, made.likeness, made.sources.tolist()
        for rank, (row, score, likeness, sources) in enumerate(zip(*columns, strict=True), 1):
            names = ",".join(names_of(sources))
            yield ids[item], rank, ids[row], maker.title(row), score, likeness, names, generation, made.made_at

    return _table((row for each in lists.items() for row in rows(*each)), SIMILAR_ITEMS)


def _table(rows: Iterable[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = [*zip(*rows, strict=True)] or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
