"""Make the lists of similar items of some items: a part of the flow `item-lists`.

From these lists POST /similar answers in mode batch.
"""

from __future__ import annotations

import numpy as np

from flows.list_parts.list_tables import MadeLists, similar_items
from flows.list_parts.list_work import ListWork

ITEMS = 512
"""Items of a part, and of one write to the store: some 400 KB."""


def lists_of_items(work: ListWork, rows: range) -> MadeLists:
    """Make and write a list for each item of some rows that may be shown."""
    opened = work.open()
    maker, some = opened.maker, np.arange(rows.start, rows.stop, dtype=np.int32)
    lists = {row: maker.similar(row, work.now) for row in some[maker.shows(some)].tolist()}
    opened.flows.write_similar(work.generation, {row: made.pack() for row, made in lists.items()})
    return MadeLists(len(lists), similar_items(maker, lists))
