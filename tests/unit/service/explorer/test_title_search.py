"""The search of items by a part of title or id finds what a scan of all titles finds, in the order of popularity."""

from types import SimpleNamespace

import numpy as np
import pytest

from recsys.generation.packed_strings import StringTable
from service.explorer import title_search

TITLES = ["Up", "", "Straße nach Oz", "OZ", "up\nand down", "Supper", "ünï 🙂", "A 7th up"]


@pytest.mark.parametrize("at_once", [1, 3, 100])
@pytest.mark.parametrize("text", ["up", "oz", "strasse", "7", "i-3", "", "nothing", "🙂", "up i-0 "])
def test_the_index_finds_what_a_scan_finds(monkeypatch, at_once, text):
    """Whether the titles are in one text or in several; a text never reaches from one item into the next."""
    monkeypatch.setattr(title_search, "_AT_ONCE", at_once)
    order = np.array([3, 0, 7, 1, 2, 6, 5, 4], np.int32)
    ids = [f"i-{row}" for row in range(len(TITLES))]
    tables = SimpleNamespace(ids=StringTable.pack(ids), titles=StringTable.pack(TITLES), by_popularity=order)
    whole = [f"{title} {item}".casefold().replace("\n", " ") for title, item in zip(TITLES, ids, strict=True)]
    expected = [row for row in order.tolist() if text in whole[row]]
    assert [*title_search.TitleIndex(tables).rows(text)] == expected
