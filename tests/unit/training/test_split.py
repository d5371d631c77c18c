"""The split of a log: no part knows a later part, and a leak is refused before anything is measured."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys.errors import DatasetError
from tests.flows.ring_dataset import START, log_of, quick, ring
from training.encode.interaction_log import DAY
from training.encode.protocols import LABELS_PER_USER, LEAST_HISTORY, PROTOCOLS, QUERIES_PER_USER
from training.encode.split import split
from training.read.mapping import Moments


def items_of(log, user, events):
    """The items of a user's events in a mask, in order."""
    return log.items[events & (log.users == user)].tolist()


@pytest.fixture(params=PROTOCOLS)
def parts(request):
    """A split of each protocol."""
    return split(log_of(ring()), quick(), request.param)


@pytest.mark.parametrize("protocol", ["rolling", "horizon"])
def test_parts_in_time_follow_each_other(protocol):
    """Every event of the towers is earlier than every label, and every label than every test event."""
    log = log_of(ring())
    parts = split(log, quick(), protocol)
    label_times = parts.before_test.times[parts.labels]
    assert parts.before_labels.end < label_times.min()
    assert label_times.max() < log.times[parts.test].min()
    assert 0.75 < len(parts.before_labels) / len(log) < 0.85
    assert 0.85 < len(parts.before_test) / len(log) < 0.95
    if protocol == "rolling":
        assert len(parts.before_labels) + len(parts.labels) == len(parts.before_test)


def test_loo_holds_out_each_users_last_event_and_labels_with_those_before():
    """The last event is the test, the three before it are labels, the towers know the rest and at least two."""
    frame = ring(users=60)
    frame = pd.concat([frame[frame["user_id"] == user].head(2 + user % 8) for user in range(60)])
    log = log_of(frame)
    parts = split(log, quick(), "loo")
    labels = np.zeros(len(log), bool)
    labels[np.flatnonzero(parts.model_events)[parts.labels]] = True
    for user in range(60):
        events = np.flatnonzero(log.users == user)
        tested = len(events) > LEAST_HISTORY
        held_out = min(LABELS_PER_USER, max(0, len(events) - 1 - LEAST_HISTORY))
        assert items_of(log, user, ~parts.model_events) == log.items[events[-1:] if tested else []].tolist()
        assert (labels & (log.users == user)).sum() == held_out
        assert items_of(log, user, parts.tower_events) == log.items[events[: len(events) - held_out - tested]].tolist()
    assert parts.warm.all()


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_horizon_tests_all_later_items_of_known_users(exclude_seen):
    """A user's targets are the items of later events, each once; seen items only where they may be shown again."""
    log = log_of(ring(users=200, items=20, noise=0.5), exclude_seen)
    parts = split(log, quick(), "horizon")
    assert len(np.unique(parts.query)) == len(set(log.users[parts.test].tolist()))
    for user in range(200):
        before, later = (set(items_of(log, user, events)) for events in (parts.model_events, ~parts.model_events))
        targets = log.items[parts.test[log.users[parts.test] == user]].tolist()
        assert sorted(targets) == (sorted(later - before if exclude_seen else later) if before else [])


def test_a_user_has_ten_queries_at_most_and_is_warm_if_known():
    """Of a busy user ten test events are drawn; a user with an event before the test is warm."""
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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_share_of_the_items_can_be_hidden(protocol):
    """The models have no event of hidden items, so that the test has new items."""
    parts = split(log_of(ring()), quick(), protocol, new_items=0.2)
    assert len(np.unique(parts.before_test.items)) == 0.8 * 40
    hidden = set(range(40)) - set(parts.before_test.items.tolist())
    assert not hidden & set(parts.before_labels.items.tolist())
    assert not hidden & set(parts.before_test.items[parts.labels].tolist())
    assert parts.new.any()
    assert set(parts.log.items[parts.test[parts.new]].tolist()) <= hidden


def test_the_test_can_begin_at_a_stated_moment():
    """The labels then have their share of the earlier events, or begin at a stated moment too."""
    log = log_of(ring())
    test_from = START + 9 * DAY
    parts = split(log, quick(), moments=Moments(test_from))
    assert parts.model_events.tolist() == (log.times < test_from).tolist()
    assert len(parts.labels) / len(parts.before_test) == pytest.approx(1 / 9, abs=0.02)
    parts = split(log, quick(), moments=Moments(test_from, START + 5 * DAY))
    assert parts.tower_events.tolist() == (log.times < START + 5 * DAY).tolist()


def test_a_leak_is_refused(parts):
    """Test events and labels among the known events, and models of every event, are refused with their number."""
    known = np.flatnonzero(parts.model_events)
    early = known[: len(parts.test)]
    with pytest.raises(DatasetError, match=f"{len(early):,} of the {len(early):,} test events"):
        replace(parts, test=early)
    learned = np.flatnonzero(parts.tower_events[parts.model_events])[: len(parts.labels)]
    with pytest.raises(DatasetError, match="label events"):
        replace(parts, labels=learned)
    with pytest.raises(DatasetError, match="Nothing was measured"):
        replace(parts, model_events=np.ones(len(parts.log), bool), labels=known[parts.labels])


def test_a_log_that_can_not_be_split_is_refused_with_the_reason():
    """Too few events, one moment, users of two events, no known user and an unknown protocol each have a sentence."""
    with pytest.raises(DatasetError, match="at least 50"):
        split(log_of(ring(users=4, steps=3)), quick())
    with pytest.raises(DatasetError, match="timestamp"):
        split(log_of(ring().assign(timestamp=5.0)), quick())
    with pytest.raises(DatasetError, match="at least 3 interactions"):
        split(log_of(ring(steps=2)), quick(), "loo")
    with pytest.raises(DatasetError, match="known before the test"):
        split(log_of(ring(steps=1)), quick(), "horizon")
    with pytest.raises(DatasetError, match=r"'daily'.*loo, rolling, horizon"):
        split(log_of(ring()), quick(), "daily")
