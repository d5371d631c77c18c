"""The history of a user: the generation's record joined with the events since."""

import numpy as np

from recsys.lists.user_record import UserRecord
from recsys.model.history import assemble
from recsys.slates.served_generation import ServedGeneration
from recsys.types import Event


def test_events_since_follow_the_record(tiny_world):
    """In order of time, the newest last. An event that two sources have counts once; an unknown item is left out."""
    served = ServedGeneration.load(tiny_world[0])

    def history(record, *since):
        rows, times = served.item_rows([item for item, _ in record]), np.array([moment for _, moment in record])
        stored = UserRecord(rows, times, np.zeros(len(rows), np.uint8), np.sort(rows), np.zeros(0, np.int32))
        past = assemble(stored, [Event("u", *event) for event in since], served.rows_of, served.spec.type_row)
        return [served.tables.ids[int(row)] for row in past[0]]

    newest = history([("comedy-1", 10.0)], ("drama-1", 30.0), ("drama-2", 20.0))
    assert newest == ["comedy-1", "drama-2", "drama-1"]
    assert history([("drama-1", 30.0)], ("drama-1", 30.4), ("drama-1", 30.4)) == ["drama-1"]
    assert history([], ("drama-1", 30.0), ("drama-1", 31.0)) == ["drama-1", "drama-1"]  # another second
    assert history([], ("opera-1", 30.0), ("drama-1", 31.0)) == ["drama-1"]
