"""The new, renamed and hidden items of a generation, and when puts expire."""

from __future__ import annotations

import numpy as np

from recsys.fresh_items.catalogue_changes import CatalogueChanges
from recsys.fresh_items.put_items import ITEMS_EXPIRE
from tests.sample_data.put_items import hide, item, putting


def changes(*items, until=100.0):
    ids = {"a": 0, "b": 1, "c": 2}
    find = lambda texts: [ids.get(text) for text in texts]  # noqa: E731
    return CatalogueChanges.of(putting(*items), find, np.array([True, True, False]), until)


def test_rows_of_known_and_new_items():
    """An item of the generation keeps its row. The row of a new item follows from its sequence number."""
    found = changes(item("x", 4), item("b", 2), item(7, 9))
    assert found.by_id == {"x": 7, "7": 12}
    assert found.by_row[12].item_id == 7
    assert len(found.available) == 13


def test_a_put_counts_if_it_is_newer_than_the_data():
    """Title and availability each count by their own time: hiding an item today does not restore an old title."""
    told = {"title": "T", "put_at": 150.0}
    found = changes(
        hide("a", 1, available_at=150.0),
        item("b", 2, title_at=50.0, available_at=150.0, available=False, **told),
        item("c", 3, title_at=150.0, available_at=50.0, **told),
    )
    assert found.hidden.tolist() == [0, 1]
    assert found.titles == {2: "T"}
    assert found.shows(np.array([0, 1, 2])).tolist() == [False, False, False]
    later = changes(hide("a", 1, available_at=150.0), until=200.0)
    assert later.hidden.tolist() == []
    assert later.shows(np.array([0])).tolist() == [True]


def test_old_puts_expire():
    """An item expires by the time of its last put. Without expired items nothing is copied."""
    puts = putting(item("old", 1, put_at=0.0), item("new", 2, put_at=1000.0))
    assert puts.unexpired(500.0) is puts
    assert [i.text for i in puts.unexpired(ITEMS_EXPIRE + 500.0).items] == ["new"]
