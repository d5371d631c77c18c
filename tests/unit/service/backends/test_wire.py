"""Rows between the services."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.filters.compiled_conditions import FILTER_WORDS, TokenMatch, packed
from recsys.model import time_features
from recsys.model.history import NO_HISTORY
from recsys.types import CANDIDATES, CLOCK, CONTEXTS, HISTORY_LENGTH, PAD, Candidates, Histories
from service.backends import wire

NO_CONTEXT = np.zeros(CONTEXTS, np.uint8)


def histories(batch: int) -> Histories:
    past = Histories.empty(np.arange(batch) + 1.6e9)
    past.context[:] = np.arange(past.context.size).reshape(past.context.shape)
    for row in range(batch):
        past.put(row, np.arange(row, dtype=np.int32), np.arange(row, dtype=np.float64), np.ones(row, np.uint8))
    return past


def told(past: Histories, generations=("g1", "g2", "g1"), due: float = 1.0) -> list[bytes]:
    records = []
    for row, generation in enumerate(generations):
        real = past.items[row] != PAD
        history = past.items[row][real], past.times[row][real], past.types[row][real]
        records.append(wire.history_record(generation, due, history, past.now[row], past.context[row, CLOCK:]))
    return records


def asking(dtype: np.dtype = wire.RETRIEVE) -> np.ndarray:
    return wire.as_table(wire.query_rows(dtype, told(histories(3))), dtype)


def test_histories_survive_the_call():
    """What goes into bytes comes out of them; the clock is that of the moment asked about."""
    past = histories(3)
    rows = wire.query_rows(wire.RETRIEVE, told(past, due=1.5))
    assert rows.dtype == np.uint8
    assert rows.flags.carray
    table = wire.as_table(rows, wire.RETRIEVE)
    assert table["generation"].tolist() == [b"g1", b"g2", b"g1"]
    assert table["due"].tolist() == [1.5] * 3
    assert (table["extra"] == PAD).all()
    back = wire.histories(table)
    assert np.array_equal(back.items, past.items)
    assert np.array_equal(back.times, past.times)
    assert np.array_equal(back.types, past.types)
    assert np.array_equal(back.now, past.now)
    assert np.array_equal(back.context[:, CLOCK:], past.context[:, CLOCK:])
    assert np.array_equal(back.context[:, :CLOCK], time_features.clock(past.now))


@settings(deadline=None)
@given(st.floats(0, 4e9))
def test_the_clock_of_a_moment_is_that_of_its_hour(now):
    """Which is what is kept."""
    (record,) = wire.as_table(
        wire.query_rows(wire.HISTORY, [wire.history_record("g", 1.0, NO_HISTORY, now, NO_CONTEXT)]), wire.HISTORY
    )
    assert record["context"][:CLOCK].tolist() == time_features.clock(np.array(now)).tolist()


def test_of_a_long_history_the_newest_goes():
    """As many as the models see."""
    long = HISTORY_LENGTH + 7
    history = np.arange(long, dtype=np.int32), np.arange(long, dtype=np.float64), np.ones(long, np.uint8)
    written = wire.history_record("g", 1.0, history, 5.0, NO_CONTEXT)
    (record,) = wire.as_table(wire.query_rows(wire.HISTORY, [written]), wire.HISTORY)
    assert record["history_items"].tolist() == list(range(7, long))
    assert record["times"].tolist() == list(range(7, long))


@pytest.mark.parametrize("count", [0, 3, CANDIDATES])
def test_candidates_stand_behind_a_history(count):
    """Padded on the right."""
    items, tower = np.arange(count, dtype=np.int32), np.arange(count, dtype=np.float32) / 7
    sources = np.arange(count).astype(np.uint16)
    records = [each + wire.candidate_record(items, tower, sources) for each in told(histories(3))]
    table = wire.as_table(wire.query_rows(wire.EXPLAIN, records), wire.EXPLAIN)
    found = wire.candidates(table)
    for row in range(3):
        assert found.items[row].tolist() == [*items.tolist(), *[PAD] * (CANDIDATES - count)]
        assert found.tower[row, :count].tolist() == tower.tolist()
        assert found.sources[row, :count].tolist() == sources.tolist()
        assert not found.tower[row, count:].any()
        assert not found.sources[row, count:].any()
    assert wire.histories(table).now.tolist() == histories(3).now.tolist()


@pytest.mark.parametrize("count", [0, 3, CANDIDATES])
def test_what_was_found_is_read_in_place(count):
    """Without the padding, and as arrays that kernels take as they are."""
    rows = 2**31 - 1 - np.arange(count, dtype=np.int32)  # which are most like the padding
    columns = rows, np.arange(count, dtype=np.float32), np.arange(count).astype(np.uint16)
    (record,) = map(bytearray, wire.retrieved(Candidates(*(each[None] for each in columns))))
    for found, expected in zip(wire.found(record), columns, strict=True):
        assert found.tolist() == expected.tolist()
        assert found.flags.carray
    assert not wire.has_failed(record)
    for dtype in (wire.RETRIEVED, wire.RANKED):
        assert wire.has_failed(wire.failure(dtype))
        assert wire.failed(np.frombuffer(wire.failure(dtype), dtype)).tolist() == [1]


@pytest.mark.parametrize(
    ("told", "complete"), [([1.0, 2.0], True), ([1.0, -np.inf], False), ([0.5, 1.0, -np.inf], True)]
)
def test_a_score_that_is_none_is_seen(told, complete):
    """Of those that were asked for: what pads has none either."""
    table = np.zeros(1, wire.RANKED)
    table["scores"] = -np.inf
    table["scores"][0, : len(told)] = told
    assert wire.scores(bytearray(table.tobytes()), 2)[1] == complete
    assert wire.scores(bytearray(table.tobytes()), 2)[0].tolist() == told[:2]


def test_each_record_says_whose_it_is_and_when_it_is_due():
    """Whatever it goes on with, and however long the name is."""
    for dtype in (wire.RETRIEVE, wire.RANK, wire.SIMILAR):
        table = np.zeros(3, dtype)
        table["generation"], table["due"] = [b"g1", b"g" * 40, b"\xff"], [1.5, np.nan, -1]
        (first, second, third) = wire.heads(wire.as_bytes(table))
        assert first == ("g1", 1.5)
        assert second[0] == "g" * 40
        assert np.isnan(second[1])
        assert third == ("\ufffd", -1.0)
    assert wire.heads(wire.as_bytes(np.zeros(0, wire.RANK))) == []


def test_candidates_are_padded_not_zeroed():
    """A place without a candidate is PAD, since 0 is an item."""
    found = Candidates(*(np.array([[7, 0]], dtype) for dtype in (np.int32, np.float32, np.uint16)))
    record = wire.similar_found(found, np.array([[0.5, 0.25]], np.float32))
    (row,) = wire.as_table(wire.stacked([record], wire.SIMILAR_FOUND), wire.SIMILAR_FOUND)
    assert row["items"].tolist() == [7, 0, *[PAD] * (CANDIDATES - 2)]
    assert row["scores"].tolist() == [0.5, 0.25, *[0.0] * (CANDIDATES - 2)]
    assert not row["failed"]


def test_a_row_of_another_width_is_refused():
    """Bytes that are no such record never become one."""
    with pytest.raises(ValueError, match="size"):
        wire.as_table(np.zeros((2, 17), np.uint8), wire.RETRIEVE)


def test_a_batch_without_filters_has_none():
    """So nobody looks at them; and where one row has one, each keeps its own."""
    for dtype in (wire.RETRIEVE, wire.SIMILAR):
        assert wire.filters(np.zeros(3, dtype)) is None
    asked = asking()
    assert wire.filters(asked) is None
    asked["filter"][1] = packed([TokenMatch((3, 9)), TokenMatch((5,))])
    back = wire.filters(wire.as_table(wire.as_bytes(asked), wire.RETRIEVE))
    assert back.shape == (3, FILTER_WORDS)
    assert back.any(axis=1).tolist() == [False, True, False]
    assert np.array_equal(back[1], packed([TokenMatch((5,)), TokenMatch((3, 9))]))
