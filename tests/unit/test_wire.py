"""Rows between the services."""

import numpy as np
import pytest

from recsys.allowed import FILTER_TOKENS, packed
from recsys.types import CANDIDATES, PAD, Candidates, Histories
from service import wire


def histories(batch: int) -> Histories:
    past = Histories.empty(np.arange(batch) + 1.6e9)
    past.context[:] = np.arange(past.context.size).reshape(past.context.shape)
    for row in range(batch):
        past.put(row, np.arange(row, dtype=np.int32), np.arange(row, dtype=np.float64), np.ones(row, np.uint8))
    return past


def test_histories_survive_the_hop():
    """What goes into bytes comes out of them."""
    past = histories(3)
    rows = wire.as_bytes(wire.asking(wire.RETRIEVE, wire.told(["g1", "g2", "g1"], [1.0] * 3, past)))
    assert rows.dtype == np.uint8
    back = wire.histories(wire.as_table(rows, wire.RETRIEVE))
    assert np.array_equal(back.items, past.items)
    assert np.array_equal(back.times, past.times)
    assert np.array_equal(back.types, past.types)
    assert np.array_equal(back.now, past.now)
    assert np.array_equal(back.context, past.context)


def test_rows_are_grouped_by_their_generation():
    """Two generations may share a batch, and no row is lost or told twice."""
    table = wire.asking(wire.RETRIEVE, wire.told(["g1", "g2", "g1"], [1.0] * 3, histories(3)))
    groups = {generation: rows.tolist() for generation, rows in wire.by_generation(table)}
    assert groups == {"g1": [0, 2], "g2": [1]}


def test_candidates_are_padded_not_zeroed():
    """A place without a candidate is PAD, since 0 is an item."""
    table = np.zeros(1, wire.RETRIEVED)
    found = Candidates(*(np.array([[7, 0]], dtype) for dtype in (np.int32, np.float32, np.uint8)))
    wire.put_candidates(table, slice(None), found)
    assert wire.candidates(table).items[0, :2].tolist() == [7, 0]
    assert (wire.candidates(table).items[0, 2:] == PAD).all()
    assert table["items"].shape[1] == CANDIDATES


def test_a_row_of_another_width_is_refused():
    """Bytes that are no such record never become one."""
    with pytest.raises(ValueError, match="size"):
        wire.as_table(np.zeros((2, 17), np.uint8), wire.RETRIEVE)


def test_a_batch_without_filters_has_none():
    """So nobody looks at them; and where one row has one, each keeps its own."""
    for dtype in (wire.RETRIEVE, wire.SIMILAR):
        assert wire.filters(np.zeros(3, dtype)) is None
    asked = wire.asking(wire.RETRIEVE, wire.told(["g1"] * 3, [1.0] * 3, histories(3)))
    assert wire.filters(asked) is None
    asked["filter"][1] = packed([[3, 9], [5]])
    back = wire.filters(wire.as_table(wire.as_bytes(asked), wire.RETRIEVE))
    assert back.shape == (3, FILTER_TOKENS)
    assert back.any(axis=1).tolist() == [False, True, False]
    assert np.array_equal(back[1], packed([[5], [9, 3]]))
