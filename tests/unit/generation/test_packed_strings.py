"""Look-up of strings by hash, and columns extended by put items."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.generation.packed_strings import StringTable


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
