"""Which items are fresh, renamed and hidden for a generation, and how long."""

from __future__ import annotations

import numpy as np

from recsys.fresh_items.catalogue_changes import CatalogueChanges
from recsys.fresh_items.put_items import ITEMS_EXPIRE
from tests.sample_data.put_items import hide, item, putting


class TestSegment:
    """Which items are fresh, renamed and hidden, for one generation."""

    def segment(self, *items, until=100.0):
        ids = {"a": 0, "b": 1, "c": 2}
        find = lambda texts: [ids.get(text) for text in texts]  # noqa: E731
        return CatalogueChanges.of(putting(*items), find, np.array([True, True, False]), until)

    def test_known_and_unknown(self):
        """An item that the generation knows has its row; others lie behind by their number, in any process."""
        segment = self.segment(item("x", 4), item("b", 2), item(7, 9))
        assert segment.by_id == {"x": 7, "7": 12}
        assert segment.by_row[12].item_id == 7
        assert len(segment.available) == 13

    def test_a_title_and_a_hiding_hold_until_the_data_knows_them(self):
        """What was said before the generation's data ended is in its tables, or was taken back; what came after holds.

        Each by its own time: a title told long ago is not brought back by hiding the item today.
        """
        told = {"title": "T", "put_at": 150.0}
        segment = self.segment(
            hide("a", 1, available_at=150.0),
            item("b", 2, title_at=50.0, available_at=150.0, available=False, **told),
            item("c", 3, title_at=150.0, available_at=50.0, **told),
        )
        assert segment.hidden.tolist() == [0, 1]
        assert segment.titles == {2: "T"}
        assert segment.shows(np.array([0, 1, 2])).tolist() == [False, False, False]
        later = self.segment(hide("a", 1, available_at=150.0), until=200.0)
        assert later.hidden.tolist() == []
        assert later.shows(np.array([0])).tolist() == [True]

    def test_shown_again(self):
        """What the tables hide is shown where a later put says so; what they say already changes nothing."""
        segment = self.segment(item("c", 1), item("a", 2))
        assert (segment.shown.tolist(), segment.hidden.tolist()) == ([2], [])

    def test_hidden_fresh_items_and_strangers_are_not_shown(self):
        """A row that no item here has may not be shown either, and is no error."""
        segment = self.segment(item("x", 4), hide("y", 6))
        rows = np.array([7, 9, 8, 10, 10**9, 0, 3])
        assert segment.shows(rows).tolist() == [True, False, False, False, False, True, False]
        assert segment.hidden_count == 1

    def test_a_fresh_item_is_the_next_generation_s_own(self):
        """The generation that contains it has its row and content; the segment has not."""
        assert self.segment(item("b", 4)).items == ()


def test_what_was_put_too_long_ago_is_let_go():
    """By the time of its last put; where nothing was, nothing is copied."""
    puts = putting(item("old", 1, put_at=0.0), item("new", 2, put_at=1000.0))
    assert puts.unexpired(500.0) is puts
    assert [i.text for i in puts.unexpired(ITEMS_EXPIRE + 500.0).items] == ["new"]
