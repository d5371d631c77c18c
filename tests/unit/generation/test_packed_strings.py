"""Look-up of strings by hash, and columns extended by put items."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.fresh_items.extended_column import ExtendedColumn
from recsys.generation.packed_strings import StringTable
from recsys.types import PAD


@given(st.lists(st.text(max_size=12), unique=True, max_size=40), st.lists(st.text(max_size=12), max_size=10))
@settings(max_examples=100, deadline=None)
def test_strings_are_found_by_hash(strings, others):
    """Every string has its row and others have none, long and empty strings included."""
    strings = list(dict.fromkeys([*strings, "", "x" * 1000, "x" * 999]))
    table = StringTable.pack(strings)
    rows = {text: row for row, text in enumerate(strings)}
    sought = [*others, *strings]
    assert table.find(sought) == [rows.get(text) for text in sought]
    assert StringTable.pack([]).find(["a"]) == [None]


def test_strings_with_the_same_hash_are_distinguished(monkeypatch):
    """Strings are compared after their hashes."""
    monkeypatch.setattr("recsys.generation.packed_strings.hashed", lambda table: np.zeros(len(table), np.uint64))
    table = StringTable.pack(["a", "b", "c"])
    assert table.find(["c", "d", "a"]) == [2, None, 0]


@given(st.lists(st.integers(0, 3000), unique=True, max_size=30), st.lists(st.integers(-1, 3100), max_size=40))
@settings(max_examples=100, deadline=None)
def test_an_extended_column_is_like_one_array(late, rows):
    """Indexed by rows of both parts it returns what one array would return. Other rows are unknown."""
    base = np.arange(100) * 3
    late = np.array(sorted(100 + n for n in late), np.int32)
    column = ExtendedColumn(base, late, late * 7)
    rows = np.array(rows, np.int32)
    known = column.holds(rows)
    assert known.tolist() == [row < 100 or row in late for row in rows]
    whole = {PAD: base[-1]} | dict(enumerate(base)) | dict(zip(late.tolist(), (late * 7).tolist(), strict=True))
    assert column[rows[known]].tolist() == [whole[row] for row in rows[known].tolist()]
