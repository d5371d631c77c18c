"""The split in time: nothing of a later part is known to an earlier one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys.errors import DatasetError
from recsys.types import PAD
from tests.flows.ring import log_of, quick, ring
from training.split import QUERIES_PER_USER, split


def test_parts_follow_each_other():
    """Every event of the towers is earlier than every label, and every label than every test event."""
    log = log_of(ring())
    parts = split(log, quick())
    assert parts.before_labels.end < log.times[parts.labels].min()
    assert log.times[parts.labels].max() < log.times[parts.test].min()
    assert len(parts.before_labels) + len(parts.labels) == len(parts.before_test)
    assert 0.75 < len(parts.before_labels) / len(log) < 0.85


def test_events_of_one_moment_stay_together():
    """A moment that spans the cut belongs wholly to the later side."""
    frame = ring()
    frame["timestamp"] = frame["timestamp"] // (4 * 86_400)
    log = log_of(frame)
    parts = split(log, quick())
    assert parts.before_test.end < log.times[parts.test].min()


def test_a_history_ends_before_its_event():
    """What a test query knows are the user's earlier events, the last of them newest, and never the event itself."""
    log = log_of(ring())
    parts = split(log, quick())
    histories = log.histories(parts.test)
    for row, event in enumerate(parts.test):
        past = np.flatnonzero((log.users == log.users[event]) & (np.arange(len(log)) < event))
        kept = histories.items[row]
        assert kept[kept != PAD].tolist() == log.items[past].tolist()


def test_a_user_asks_ten_times_at_most_and_is_warm_if_known():
    """Busy users are cut to their first ten test events; warm means an event before the test began."""
    frame = ring(users=60)
    newest = frame["timestamp"].max()
    busy = frame.iloc[:15].assign(user_id=999, timestamp=[newest + n for n in range(1, 16)])
    log = log_of(pd.concat([frame, busy]))
    parts = split(log, quick())
    users = log.users[parts.test]
    stranger = int(np.flatnonzero(log.user_ids == 999)[0])
    assert (users == stranger).sum() == QUERIES_PER_USER
    assert not parts.warm[users == stranger].any()
    assert parts.warm[users != stranger].all()
    assert len(split(log, replace(quick(), test_queries=7)).test) == 7


def test_a_log_that_can_not_be_split_says_why():
    """Too few events, and events all of one moment, each get a sentence."""
    with pytest.raises(DatasetError, match="at least 50"):
        split(log_of(ring(users=4, steps=3)), quick())
    with pytest.raises(DatasetError, match="timestamp"):
        split(log_of(ring().assign(timestamp=5.0)), quick())
