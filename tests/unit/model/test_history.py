"""The history of a user: the generation's record joined with the events since."""

import numpy as np
import pytest

from recsys.lists.user_record import UserRecord
from recsys.model.history import assemble
from recsys.slates.served_generation import ServedGeneration
from recsys.types import Event


@pytest.fixture(scope="module")
def history(tiny_world):
    """The item ids of a history, from the items and times of the record and of the events since."""
    served = ServedGeneration.load(tiny_world[0])

    def assembled(record, *since):
        rows, times = served.item_rows([item for item, _ in record]), np.array([moment for _, moment in record])
        stored = UserRecord(rows, times, np.zeros(len(rows), np.uint8), np.sort(rows), np.zeros(0, np.int32))
        past = assemble(stored, [Event("u", *event) for event in since], served.rows_of, served.spec.type_row)
        return [served.tables.ids[int(row)] for row in past[0]]

    return assembled


def test_events_follow_the_record_in_order_of_time(history):
    """The newest event is last."""
    found = history([("comedy-1", 10.0)], ("drama-1", 30.0), ("drama-2", 20.0))
    assert found == ["comedy-1", "drama-2", "drama-1"]


def test_a_repeated_event_counts_once(history):
    """An event may be in the log, the store and the session. At another second it is another event."""
    assert history([("drama-1", 30.0)], ("drama-1", 30.4), ("drama-1", 30.4)) == ["drama-1"]
    assert history([], ("drama-1", 30.0), ("drama-1", 31.0)) == ["drama-1", "drama-1"]


def test_an_item_the_generation_does_not_know_is_left_out(history):
    """Other events of the history are kept."""
    assert history([], ("opera-1", 30.0), ("drama-1", 31.0)) == ["drama-1"]
