"""Everyone's best as Parquet, for what is sent and not asked for: e-mail, push, a shop's own cache."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.environment import Environment
from recsys.list_maker import ListMaker, Past
from recsys.retrieval.registry import names_of
from recsys.rules import compiled, select
from recsys.rules.catalogue import DAY, TablesCatalogue
from recsys.user_list import UserList

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
"""Newest files that stay, a week of nightly ones, whichever generations made them: each is as large as all lists are,
and nobody sends the lists of the week before."""


class ListExport:
    """One file, there once it is whole; a context manager."""

    def __init__(self, environment: Environment, maker: ListMaker, top: int, now: float) -> None:
        folder = environment.folder("lists") / maker.manifest.id
        self.path = folder / f"{int(now)}.parquet"
        self._scratch = folder / f".{int(now)}.parquet"
        self._maker, self._top, self._now = maker, top, now
        self._rules = compiled(maker.rules, maker.spec)
        self._rows: list[tuple[object, ...]] = []
        self._writer: pq.ParquetWriter | None = None

    def begin(self) -> None:
        """Start anew: what was added before is forgotten."""
        self._close()
        self._rows = []
        self._scratch.parent.mkdir(parents=True, exist_ok=True)
        _sweep(self._scratch.parent.parent)
        self._writer = pq.ParquetWriter(self._scratch, SCHEMA)

    def add(self, user: str, past: Past, made: UserList) -> None:
        """Add a user's best, by the rules."""
        tables, manifest = self._maker.tables, self._maker.manifest
        catalogue = TablesCatalogue(
            tables, lambda rows: ~self._maker.gone(past, rows, self._now), (self._now - manifest.data_end) / DAY
        )
        slate = select(made.items, made.scores, self._top, self._rules, catalogue, {})
        sources = dict(zip(made.items.tolist(), made.sources.tolist(), strict=True))
        for rank, (row, score) in enumerate(zip(slate.items, slate.scores, strict=True), 1):
            names = ",".join(names_of(sources.get(row, slate.brought(row))))
            told = user, rank, tables.ids[row], self._maker.title(row), np.float32(score), names
            self._rows.append((*told, manifest.id, self._now))
        if len(self._rows) >= ROWS:
            self._flush()

    def __enter__(self) -> ListExport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._writer is not None:
            self._flush()
            self._close()
            self._scratch.replace(self.path)
            _drop_old(self.path.parent.parent)
        else:
            self._close()
            self._scratch.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._rows and self._writer is not None:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(list(column), field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
            self._rows = []

    def _close(self) -> None:
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
