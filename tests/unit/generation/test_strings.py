"""Strings found by their hash, and columns that grow."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.fresh_items.grown_column import Grown
from recsys.generation.packed_strings import StringTable
from recsys.types import PAD


@given(st.lists(st.text(max_size=12), unique=True, max_size=40), st.lists(st.text(max_size=12), max_size=10))
@settings(max_examples=100, deadline=None)
def test_strings_are_found_without_a_dict(strings, others):
    """Every string by its row, and what isn't there not; long ones and empty ones too."""
    strings = list(dict.fromkeys([*strings, "", "x" * 1000, "x" * 999]))
    table = StringTable.pack(strings)
    rows = {text: row for row, text in enumerate(strings)}
    asked = [*others, *strings]
    assert table.find(asked) == [rows.get(text) for text in asked]
    assert StringTable.pack([]).find(["a"]) == [None]


def test_strings_that_share_a_hash_are_told_apart(monkeypatch):
    """A collision costs a comparison and never an item."""
    monkeypatch.setattr("recsys.generation.packed_strings.hashed", lambda table: np.zeros(len(table), np.uint64))
    table = StringTable.pack(["a", "b", "c"])
    assert table.find(["c", "d", "a"]) == [2, None, 0]


@given(st.lists(st.integers(0, 3000), unique=True, max_size=30), st.lists(st.integers(-1, 3100), max_size=40))
@settings(max_examples=100, deadline=None)
def test_grown_columns_are_one_table(late, rows):
    """Indexed by rows of either part a grown column gives what the whole table would; it knows what it has."""
    base = np.arange(100) * 3
    late = np.array(sorted(100 + n for n in late), np.int32)
    grown = Grown(base, late, late * 7)
    rows = np.array(rows, np.int32)
    known = grown.knows(rows)
    assert known.tolist() == [row < 100 or row in late for row in rows]
    whole = {PAD: base[-1]} | dict(enumerate(base)) | dict(zip(late.tolist(), (late * 7).tolist(), strict=True))
    assert grown[rows[known]].tolist() == [whole[row] for row in rows[known].tolist()]
