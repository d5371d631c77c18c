"""The rows between the gateway and its backends."""

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


def records_of(past: Histories, generations=("g1", "g2", "g1"), due: float = 1.0) -> list[bytes]:
    records = []
    for row, generation in enumerate(generations):
        real = past.items[row] != PAD
        history = past.items[row][real], past.times[row][real], past.types[row][real]
        records.append(wire.history_record(generation, due, history, past.now[row], past.context[row, CLOCK:]))
    return records


def queries(dtype: np.dtype = wire.RETRIEVE) -> np.ndarray:
    return wire.as_table(wire.query_rows(dtype, records_of(histories(3))), dtype)


def test_a_history_is_unchanged_by_its_row():
    """The clock columns are of the time of the query."""
    past = histories(3)
    rows = wire.query_rows(wire.RETRIEVE, records_of(past, due=1.5))
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
def test_the_clock_of_a_time_is_the_clock_of_its_hour(now):
    """The clock is cached by the hour."""
    (record,) = wire.as_table(
        wire.query_rows(wire.HISTORY, [wire.history_record("g", 1.0, NO_HISTORY, now, NO_CONTEXT)]), wire.HISTORY
    )
    assert record["context"][:CLOCK].tolist() == time_features.clock(np.array(now)).tolist()


def test_a_row_has_the_newest_events_of_a_long_history():
    """As many as the models take."""
    long = HISTORY_LENGTH + 7
    history = np.arange(long, dtype=np.int32), np.arange(long, dtype=np.float64), np.ones(long, np.uint8)
    written = wire.history_record("g", 1.0, history, 5.0, NO_CONTEXT)
    (record,) = wire.as_table(wire.query_rows(wire.HISTORY, [written]), wire.HISTORY)
    assert record["history_items"].tolist() == list(range(7, long))
    assert record["times"].tolist() == list(range(7, long))


@pytest.mark.parametrize("count", [0, 3, CANDIDATES])
def test_candidates_follow_a_history(count):
    """They are padded on the right."""
    items, tower = np.arange(count, dtype=np.int32), np.arange(count, dtype=np.float32) / 7
    sources = np.arange(count).astype(np.uint16)
    records = [each + wire.candidate_record(items, tower, sources) for each in records_of(histories(3))]
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
def test_found_candidates_are_read_in_place(count):
    """Without the padding, and as arrays that kernels take."""
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
    ("scores", "complete"), [([1.0, 2.0], True), ([1.0, -np.inf], False), ([0.5, 1.0, -np.inf], True)]
)
def test_a_missing_score_is_found(scores, complete):
    """Among the scores of the candidates; the padding has no scores."""
    table = np.zeros(1, wire.RANKED)
    table["scores"] = -np.inf
    table["scores"][0, : len(scores)] = scores
    assert wire.scores(bytearray(table.tobytes()), 2)[1] == complete
    assert wire.scores(bytearray(table.tobytes()), 2)[0].tolist() == scores[:2]


def test_a_row_of_another_width_is_refused():
    """The bytes become no record."""
    with pytest.raises(ValueError, match="size"):
        wire.as_table(np.zeros((2, 17), np.uint8), wire.RETRIEVE)


def test_a_batch_without_filters_has_none():
    """If one row has a filter, each row keeps its own."""
    for dtype in (wire.RETRIEVE, wire.SIMILAR):
        assert wire.filters(np.zeros(3, dtype)) is None
    table = queries()
    assert wire.filters(table) is None
    table["filter"][1] = packed([TokenMatch((3, 9)), TokenMatch((5,))])
    back = wire.filters(wire.as_table(wire.as_bytes(table), wire.RETRIEVE))
    assert back.shape == (3, FILTER_WORDS)
    assert back.any(axis=1).tolist() == [False, True, False]
    assert np.array_equal(back[1], packed([TokenMatch((5,)), TokenMatch((3, 9))]))
