"""The metrics of finished slates: the state of the user's list, scores, length and sources."""

import numpy as np
import pytest

from recsys.experiments.assigned_arms import AssignedArms
from recsys.lists.user_list import UserList
from recsys.types import Mode, Source
from service.telemetry.slate_metrics import count_slate, list_outcome
from tests.fakes.in_process import InProcessService, counted


@pytest.fixture(scope="module")
def world(tiny_world):
    return InProcessService(tiny_world[0])


def with_list(query, age):
    """The query with a list of this age in seconds."""
    rows = np.arange(3, dtype=np.int32)
    query.listed = UserList(query.now - age, 0, rows, np.zeros(3, np.uint16), np.zeros(3, np.float32))
    return query


@pytest.mark.parametrize(
    ("age", "event_age", "outcome"),
    [(100, None, "fresh"), (3_500, 4_000, "fresh"), (100, 50, "stale"), (3_700, None, "stale"), (None, 50, "missing")],
)
def test_a_list_is_fresh_until_it_is_too_old_or_an_event_comes(world, age, event_age, outcome):
    """Both make it stale; without a list it is missing."""
    query = world.query()
    if age is not None:
        with_list(query, age)
    if event_age is not None:
        query.past = np.zeros(1, np.int32), np.array([query.now - event_age]), np.zeros(1, np.uint8)
    assert list_outcome(query) == outcome


def test_a_slate_is_counted_by_score_length_and_sources(world):
    """A slate whose arm a person forced is not counted."""
    names = {
        "tandem_top_score_bucket": {"surface": "test", "alias": "live", "le": "2.5"},
        "tandem_slate_length_sum": {"surface": "test", "alias": "live"},
        "tandem_slate_items_total": {"source": "ease", "surface": "test", "alias": "live"},
        "tandem_lists_total": {"outcome": "missing", "surface": "test"},
    }
    query = world.query(surface="test")
    query.made_by = Mode.REALTIME
    query.items, query.scores = np.arange(3, dtype=np.int32), np.array([2.4, 1, 0], np.float32)
    query.sources = np.array([Source.EASE, Source.EASE | Source.TOWER, Source.TOWER], np.uint16)
    count_slate(query)
    query.assigned = AssignedArms(forced=True)
    count_slate(query)
    assert [counted(name, **labels) for name, labels in names.items()] == [1, 3, 2, 1]
    assert counted("tandem_top_score_bucket", surface="test", alias="live", le="2.0") == 0
    assert counted("tandem_slate_items_total", source="tower", surface="test", alias="live") == 2
