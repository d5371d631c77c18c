"""Export the best items for all users as a Parquet file, for e-mail, push messages or a cache of the shop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from flows.steps.parquet_export import LISTS, RowFile, export_file
from recsys.environment import Environment
from recsys.lists.list_maker import ListMaker, UserData
from recsys.lists.user_list import UserList
from recsys.retrieval.registry import names_of
from recsys.rules import Catalogue, compile_rules, select
from training.data.locations import Location

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("score", pa.float32()),
        ("sources", pa.string()),
        ("generation", pa.string()),
        ("made_at", pa.float64()),
    ]
)


@contextmanager
def exporting(environment: Environment, maker: ListMaker, top: int, now: float) -> Iterator[ListExport]:
    """Write one file. It gets its name when the block ends without an error."""
    with (
        export_file(environment, LISTS, maker.manifest.id, now) as (path, scratch),
        ListExport(path, scratch, maker, top, now) as export,
    ):
        yield export


class ListExport(RowFile):
    """The file of the best items of users."""

    def __init__(self, path: Location, scratch: Path, maker: ListMaker, top: int, now: float) -> None:
        super().__init__(path, scratch, SCHEMA)
        self._maker, self._top, self._now = maker, top, now
        self._rules = compile_rules(maker.rules, maker.spec)

    def add(self, user: str, past: UserData, made: UserList) -> None:
        """Add a user's best items, selected by the rules."""
        tables, manifest = self._maker.tables, self._maker.manifest
        catalogue = Catalogue(
            tables, lambda rows: ~self._maker.excluded(past, rows, self._now), manifest.data_end, self._now
        )
        slate = select(made.items, made.scores, self._top, self._rules, catalogue, {})
        sources = dict(zip(made.items.tolist(), made.sources.tolist(), strict=True))
        rows = []
        for rank, (row, score) in enumerate(zip(slate.items, slate.scores, strict=True), 1):
            names = ",".join(names_of(sources.get(row, slate.source_of(row))))
            row_of_user = user, rank, tables.ids[row], self._maker.title(row), np.float32(score), names
            rows.append((*row_of_user, manifest.id, self._now))
        self.add_rows(rows)
