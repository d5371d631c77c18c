"""Event counts, a feature of the ranker: which events a window before a query holds."""

import numpy as np
import pytest

from recsys.kernels.recent_events import DELAY, RecentEvents, count_recent, item_events

HOUR = 1_700_002_800.0
MINUTE = HOUR + 29 * 60
NOW = MINUTE + 20


def counted(moments, now):
    """The features of one item of two, with events at these moments."""
    minutes = (np.sort(np.array(moments)) // 60).astype(np.int64)
    items, ones = np.zeros(len(minutes), np.int64), np.ones(len(minutes), np.int64)
    recent = RecentEvents(*(item_events(items, minutes // step * step, ones, 2) for step in (1, 60)))
    x = np.zeros((1, 3, 2), np.float32)
    none = np.zeros(0, np.int32)
    count_recent(recent, 2, none, np.array([now]), np.array([[0, 1]], np.int32), np.array([2]), x, 0)
    assert not x[0, :, 1].any()
    return x[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (NOW, [0, 0, 0]),
        (MINUTE, [0, 0, 0]),  # the minute that is not over
        (MINUTE - 1, [1, 1, 0]),
        (MINUTE - 600, [1, 1, 0]),
        (MINUTE - 601, [0, 1, 0]),
        (MINUTE - 3_600, [0, 1, 1]),
        (MINUTE - 3_601, [0, 0, 1]),
        (HOUR - 1, [0, 1, 1]),
        (HOUR, [0, 1, 0]),  # the hour that is not over
        (HOUR - 86_400, [0, 0, 1]),
        (HOUR - 86_401, [0, 0, 0]),
        (NOW + 3_600, [0, 0, 0]),
    ],
)
def test_a_window_holds_full_minutes_or_hours_before_the_query(moment, expected):
    """Of 10 minutes, 60 minutes and 24 hours; the start belongs to the window, and the end does not."""
    assert counted([moment], NOW) == expected


def test_a_minute_counts_from_a_fixed_time_after_its_end():
    """Until then serving may not have read the minute."""
    assert counted([MINUTE - 1] * 3, MINUTE + DELAY - 0.001) == [0, 0, 0]
    assert counted([MINUTE - 1] * 3, MINUTE + DELAY) == [3, 3, 0]
