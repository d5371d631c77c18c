"""Make the lists of similar items of all items ahead of requests: the step of the Prefect flow `item-lists`.

The lists go to the store, from which POST /similar answers in mode batch, and to a Parquet file.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from flows.orchestration import store_step
from flows.steps.parquet_export import RowFile
from recsys.lists.list_maker import ListMaker
from recsys.lists.similar_list import SimilarList
from recsys.retrieval.registry import names_of
from recsys.store.redis.flow_store import RedisFlowStore
from training.progress import StepProgress

SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("rank", pa.int32()),
        ("similar_item_id", pa.string()),
        ("title", pa.string()),
        ("score", pa.float32()),
        ("likeness", pa.float32()),
        ("sources", pa.string()),
        ("generation", pa.string()),
        ("made_at", pa.float64()),
    ]
)

CHUNK = 512
"""Items of one write to the store, some 400 KB."""


@store_step
def make_similar_lists(
    maker: ListMaker, store: RedisFlowStore, export: RowFile, now: float, progress: StepProgress
) -> int:
    """Make, write and export a list for each item that may be shown; return how many."""
    generation, everything = maker.manifest.id, np.arange(len(maker.tables), dtype=np.int32)
    rows = everything[maker.shows(everything)].tolist()
    export.begin()
    for start in range(0, len(rows), CHUNK):
        lists = {row: maker.similar(row, now) for row in rows[start : start + CHUNK]}
        store.write_similar(generation, {row: made.pack() for row, made in lists.items()})
        for row, made in lists.items():
            export.add_rows(_exported(maker, row, made))
        done = min(start + CHUNK, len(rows))
        progress(done / len(rows), f"{done:,} items")
    return len(rows)


def _exported(maker: ListMaker, row: int, made: SimilarList) -> Iterator[tuple[object, ...]]:
    """The rows of one list in the file."""
    ids, of_generation = maker.tables.ids, (maker.manifest.id, made.made_at)
    columns = made.items.tolist(), made.scores, made.likeness, made.sources.tolist()
    for rank, (item, score, likeness, sources) in enumerate(zip(*columns, strict=True), 1):
        names = ",".join(names_of(sources))
        yield ids[row], rank, ids[item], maker.title(item), score, likeness, names, *of_generation
