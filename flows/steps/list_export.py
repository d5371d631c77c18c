"""Export the best items for all users as a Parquet file, for e-mail, push messages or a cache of the shop."""

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
from recsys.rules import Catalogue, compile_rules, select
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

ABANDONED_SECONDS = 86_400.0
"""An unfinished file without a write for this time belongs to a killed run."""

KEPT = 7
"""Newest files that stay in a folder: a week of nightly files. In a bucket a lifecycle rule removes old files, so that
flows need no permission to delete."""


@contextmanager
def exporting(environment: Environment, maker: ListMaker, top: int, now: float) -> Iterator[ListExport]:
    """Write one file. It gets its name when the block ends without an error."""
    folder = exports(environment, "lists")
    if folder.remote:
        require_writable(folder)  # an error here, not after an hour of list making
    else:
        _remove_abandoned(Path(folder.path))
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
    """The rows of one file, in groups of ROWS."""

    def __init__(self, path: Location, scratch: Path, maker: ListMaker, top: int, now: float) -> None:
        self.path = path
        self._scratch, self._maker, self._top, self._now = scratch, maker, top, now
        self._rules = compile_rules(maker.rules, maker.spec)
        self._rows: list[tuple[object, ...]] = []
        self._writer: pq.ParquetWriter | None = None

    def begin(self) -> None:
        """Start the file again without the rows that were added before."""
        self.close()
        self._rows = []
        self._writer = pq.ParquetWriter(self._scratch, SCHEMA)

    def add(self, user: str, past: UserData, made: UserList) -> None:
        """Add a user's best items, selected by the rules."""
        tables, manifest = self._maker.tables, self._maker.manifest
        catalogue = Catalogue(
            tables, lambda rows: ~self._maker.excluded(past, rows, self._now), manifest.data_end, self._now
        )
        slate = select(made.items, made.scores, self._top, self._rules, catalogue, {})
        sources = dict(zip(made.items.tolist(), made.sources.tolist(), strict=True))
        for rank, (row, score) in enumerate(zip(slate.items, slate.scores, strict=True), 1):
            names = ",".join(names_of(sources.get(row, slate.source_of(row))))
            row_of_user = user, rank, tables.ids[row], self._maker.title(row), np.float32(score), names
            self._rows.append((*row_of_user, manifest.id, self._now))
        if len(self._rows) >= ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the added rows."""
        if self._rows and self._writer is not None:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(list(column), field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
            self._rows = []

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _drop_old(folder: Path) -> None:
    """Remove all but the newest files, and empty folders. Another run may do the same."""
    files = [path for path in folder.glob("*/[0-9]*.parquet") if path.stem.isdecimal()]
    for old in sorted(files, key=lambda path: int(path.stem))[:-KEPT]:
        old.unlink(missing_ok=True)
        with suppress(OSError):  # it has other files
            old.parent.rmdir()


def _remove_abandoned(folder: Path) -> None:
    """Remove unfinished files of killed runs. Newer unfinished files may belong to a run in progress."""
    for left in folder.glob("*/.*.parquet"):
        with suppress(FileNotFoundError):  # its run finished it just now
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                left.unlink()
