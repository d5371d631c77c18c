"""The history of a user: the generation's record joined with the events since."""

import numpy as np
import pytest

from recsys.lists.user_record import UserRecord
from recsys.model.history import assemble as join
from recsys.types import Event
from service.generations.served import ServedGeneration


@pytest.fixture(scope="module")
def served(tiny_world):
    return ServedGeneration.load(tiny_world[0])


def query(served, *events, session=(), record=None):
    return served, record or UserRecord.empty(), (*events, *session)


def assemble(given):
    served, record, since = given
    return join(record, since, served.rows_of, served.spec.type_row)


def record(served, *items):
    rows = served.item_rows([item for item, _ in items])
    times = np.array([moment for _, moment in items], np.float64)
    return UserRecord(rows, times, np.zeros(len(rows), np.uint8), np.sort(rows), np.zeros(0, np.int32))


def names(served, history):
    return [served.tables.ids[int(row)] for row in history[0]]


def test_events_and_session_follow_the_record_in_order_of_time(served):
    """The newest event is last."""
    given = query(
        served,
        Event("u", "drama-1", 30.0),
        session=[Event("u", "drama-2", 20.0)],
        record=record(served, ("comedy-1", 10.0)),
    )
    assert names(served, assemble(given)) == ["comedy-1", "drama-2", "drama-1"]


def test_a_repeated_event_counts_once(served):
    """An event may be in the log, the store and the session. At another second it is another event."""
    twice = Event("u", "drama-1", 30.4, served.spec.event_types[0])
    given = query(served, twice, session=[twice], record=record(served, ("drama-1", 30.0)))
    assert names(served, assemble(given)) == ["drama-1"]
    given = query(served, Event("u", "drama-1", 30.0), Event("u", "drama-1", 31.0))
    assert names(served, assemble(given)) == ["drama-1", "drama-1"]


def test_an_item_the_generation_does_not_know_is_left_out(served):
    """Other events of the history are kept."""
    given = query(served, Event("u", "opera-1", 30.0), Event("u", "drama-1", 31.0))
    assert names(served, assemble(given)) == ["drama-1"]
