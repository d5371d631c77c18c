"""Everyone's best as Parquet, for what is sent and not asked for: e-mail, push, a shop's own cache."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.environment import Environment
from recsys.lists.list_maker import ListMaker, UserData
from recsys.lists.user_list import UserList
from recsys.retrieval.registry import names_of
from recsys.rules import compile_rules, select
from recsys.rules.catalogue import DAY, TablesCatalogue
from training.data.locations import Location, exports, require_writable, writing

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

ROWS = 50_000
"""Rows of a row group."""

LEFT_SECONDS = 86_400.0
"""Nobody writes any more to a file that was begun and not written to for so long: its run was killed."""

KEPT = 7
"""Newest files that stay in a folder, a week of nightly ones of all generations: each is as large as all lists are. In
a bucket a lifecycle rule removes old files: flows need no permission to delete."""


@contextmanager
def exporting(environment: Environment, maker: ListMaker, top: int, now: float) -> Iterator[ListExport]:
    """One file of everyone's best; it is there once the block ends without an error."""
    folder = exports(environment, "lists")
    if folder.remote:
        require_writable(folder)  # before the lists are made: that may take an hour
    else:
        _sweep(Path(folder.path))
    path = folder / maker.manifest.id / f"{int(now)}.parquet"
    with writing(path) as scratch:
        export = ListExport(path, scratch, maker, top, now)
        try:
            yield export
            export.flush()
        finally:
            export.close()
    if not folder.remote:
        _drop_old(Path(folder.path))


class ListExport:
    """The rows of one file."""

    def __init__(self, path: Location, scratch: Path, maker: ListMaker, top: int, now: float) -> None:
        self.path = path
        self._scratch, self._maker, self._top, self._now = scratch, maker, top, now
        self._rules = compile_rules(maker.rules, maker.spec)
        self._rows: list[tuple[object, ...]] = []
        self._writer: pq.ParquetWriter | None = None

    def begin(self) -> None:
        """Start anew: rows that were added before are dropped."""
        self.close()
        self._rows = []
        self._writer = pq.ParquetWriter(self._scratch, SCHEMA)

    def add(self, user: str, past: UserData, made: UserList) -> None:
        """Add a user's best, by the rules."""
        tables, manifest = self._maker.tables, self._maker.manifest
        catalogue = TablesCatalogue(
            tables, lambda rows: ~self._maker.excluded(past, rows, self._now), (self._now - manifest.data_end) / DAY
        )
        slate = select(made.items, made.scores, self._top, self._rules, catalogue, {})
        sources = dict(zip(made.items.tolist(), made.sources.tolist(), strict=True))
        for rank, (row, score) in enumerate(zip(slate.items, slate.scores, strict=True), 1):
            names = ",".join(names_of(sources.get(row, slate.source_of(row))))
            told = user, rank, tables.ids[row], self._maker.title(row), np.float32(score), names
            self._rows.append((*told, manifest.id, self._now))
        if len(self._rows) >= ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that were added."""
        if self._rows and self._writer is not None:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(list(column), field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
            self._rows = []

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _drop_old(folder: Path) -> None:
    """Remove all but the newest files, and the folders that are empty then; another run may do so, too."""
    whole = [path for path in folder.glob("*/[0-9]*.parquet") if path.stem.isdecimal()]
    for old in sorted(whole, key=lambda path: int(path.stem))[:-KEPT]:
        old.unlink(missing_ok=True)
        with suppress(OSError):  # others are in it
            old.parent.rmdir()


def _sweep(folder: Path) -> None:
    """Remove what killed runs left, of any generation; another run may be at work, so what is new stays."""
    for left in folder.glob("*/.*.parquet"):
        with suppress(FileNotFoundError):  # it became whole just now
            if time.time() - left.stat().st_mtime > LEFT_SECONDS:
                left.unlink()
