"""The split: nothing of a later part is known to an earlier one, and where it would be, nothing is measured."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from recsys.errors import DatasetError
from recsys.types import PAD
from tests.flows.ring import START, log_of, quick, ring
from training.data.interaction_log import DAY
from training.data.mapping import Moments
from training.evaluation.split import LABELS_PER_USER, LEAST_HISTORY, PROTOCOLS, QUERIES_PER_USER, Split, split


def items_of(log, user, events):
    """The items of a user's events in a mask, in order."""
    return log.items[events & (log.users == user)].tolist()


@pytest.fixture(params=PROTOCOLS)
def parts(request):
    """A split of each protocol."""
    return split(log_of(ring()), quick(), request.param)


def test_each_part_is_later_than_what_may_be_known_of_it(parts):
    """Nothing that is asked is known, and of every user all that is known came before what is asked."""
    labels = np.flatnonzero(parts.known)[parts.labels]
    assert len(labels)
    assert len(parts.test)
    for known, asked in ((parts.taught, labels), (parts.known, parts.test)):
        assert not known[asked].any()
        for event in asked:
            assert np.flatnonzero(known & (parts.log.users == parts.log.users[event])).max() < event


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


def test_rolling_labels_are_all_between_the_towers_and_the_test():
    """The label window loses nothing."""
    parts = split(log_of(ring()), quick())
    assert len(parts.before_labels) + len(parts.labels) == len(parts.before_test)


def test_loo_holds_out_each_users_last_event_and_labels_with_those_before():
    """The last is the test, the three before it are labels, the towers know the rest and keep two at least."""
    frame = ring(users=60)
    frame = pd.concat([frame[frame["user_id"] == user].head(2 + user % 8) for user in range(60)])
    log = log_of(frame)
    parts = split(log, quick(), "loo")
    labels = np.zeros(len(log), bool)
    labels[np.flatnonzero(parts.known)[parts.labels]] = True
    for user in range(60):
        events = np.flatnonzero(log.users == user)
        tested = len(events) > LEAST_HISTORY
        held_out = min(LABELS_PER_USER, max(0, len(events) - 1 - LEAST_HISTORY))
        assert items_of(log, user, ~parts.known) == log.items[events[-1:] if tested else []].tolist()
        assert (labels & (log.users == user)).sum() == held_out
        assert items_of(log, user, parts.taught) == log.items[events[: len(events) - held_out - tested]].tolist()
    assert parts.warm.all()


def test_horizon_asks_known_users_for_all_that_they_had_later():
    """A user's targets are the items of later events, each once and none seen; who is new is not asked."""
    log = log_of(ring(users=200, items=20, noise=0.5))
    parts = split(log, quick(), "horizon")
    asked = set(log.users[parts.test].tolist())
    assert len(np.unique(parts.query)) == len(asked)
    for user in range(200):
        before, later = (set(items_of(log, user, events)) for events in (parts.known, ~parts.known))
        targets = log.items[parts.test[log.users[parts.test] == user]].tolist()
        assert sorted(targets) == (sorted(later - before) if before else [])


def test_horizon_with_repeats_asks_for_what_was_seen_too():
    """Where people buy again, an item they had before is a target like any other."""
    log = log_of(ring(users=200, items=20, noise=0.5), exclude_seen=False)
    parts = split(log, quick(), "horizon")
    user = log.users[parts.test[0]]
    targets = log.items[parts.test[log.users[parts.test] == user]]
    assert sorted(targets) == sorted(set(items_of(log, user, ~parts.known)))


@pytest.mark.parametrize("protocol", ["loo", "rolling"])
def test_a_history_ends_before_its_event(protocol):
    """What a test query knows are the user's earlier events, the last of them newest, and never the event itself."""
    log = log_of(ring())
    parts = split(log, quick(), protocol)
    histories, (owner, seen) = parts.past(parts.test)
    for row, event in enumerate(parts.test):
        past = np.flatnonzero((log.users == log.users[event]) & (np.arange(len(log)) < event))
        kept = histories.items[row]
        assert kept[kept != PAD].tolist() == log.items[past].tolist() == seen[owner == row].tolist()


def test_a_history_of_the_horizon_ends_with_what_is_known():
    """However late the targets, a query knows nothing after the cut."""
    log = log_of(ring(users=200))
    parts = split(log, quick(), "horizon")
    _, first = np.unique(parts.query, return_index=True)
    histories, (owner, seen) = parts.past(parts.test[first])
    for row, event in enumerate(parts.test[first]):
        past = items_of(log, log.users[event], parts.known)
        kept = histories.items[row]
        assert kept[kept != PAD].tolist() == past == seen[owner == row].tolist()


def test_events_of_one_moment_stay_together():
    """A moment that spans the cut belongs wholly to the later side."""
    frame = ring()
    frame["timestamp"] = frame["timestamp"] // (4 * 86_400)
    log = log_of(frame)
    parts = split(log, quick())
    assert parts.before_test.end < log.times[parts.test].min()


def test_a_user_asks_ten_times_at_most_and_is_warm_if_known():
    """Busy users are cut to ten of their test events; warm means an event before the test began."""
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


def test_an_item_without_a_known_event_is_new():
    """New is what the models were told nothing of."""
    frame = ring()
    late = frame.tail(30).assign(item_id=777)
    late["timestamp"] += 1e6
    parts = split(log_of(pd.concat([frame, late])), quick())
    fresh = parts.log.catalogue.ids[parts.log.items[parts.test]] == 777
    assert fresh.any()
    assert parts.new.tolist() == fresh.tolist()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_share_of_the_items_can_be_hidden(protocol):
    """The models are told no event of them, so that there is something new to ask for."""
    parts = split(log_of(ring()), quick(), protocol, new_items=0.2)
    assert len(np.unique(parts.before_test.items)) == 0.8 * 40
    hidden = set(range(40)) - set(parts.before_test.items.tolist())
    assert not hidden & set(parts.before_labels.items.tolist())
    assert not hidden & set(parts.before_test.items[parts.labels].tolist())
    assert parts.new.any()
    assert set(parts.log.items[parts.test[parts.new]].tolist()) <= hidden


def test_the_test_can_begin_at_a_stated_moment():
    """Labels then take the same share of what came before, or begin when they are told to."""
    log = log_of(ring())
    test_from = START + 9 * DAY
    parts = split(log, quick(), moments=Moments(test_from))
    assert parts.known.tolist() == (log.times < test_from).tolist()
    assert len(parts.labels) / len(parts.before_test) == pytest.approx(1 / 9, abs=0.02)
    parts = split(log, quick(), moments=Moments(test_from, START + 5 * DAY))
    assert parts.taught.tolist() == (log.times < START + 5 * DAY).tolist()


@pytest.mark.parametrize("moments", [Moments(START - 1), Moments(START + 99 * DAY), Moments(None, START + 99 * DAY)])
def test_a_moment_that_leaves_nothing_is_refused(moments):
    """A test from before the log or after it, or labels after the test, get a sentence with the dates."""
    with pytest.raises(DatasetError, match=datetime.fromtimestamp(START, UTC).strftime("%Y-%m-%d")):
        split(log_of(ring()), quick(), moments=moments)


def test_test_events_moved_before_the_split_are_refused(parts):
    """With the test moved into what the models saw, nothing is measured, and a sentence says how many events."""
    early = np.flatnonzero(parts.known)[: len(parts.test)]
    with pytest.raises(DatasetError, match=f"{len(early):,} of the {len(early):,} test events"):
        replace(parts, test=early)


def test_labels_moved_before_the_split_are_refused(parts):
    """Nor may a label be something the towers were taught."""
    early = np.flatnonzero(parts.taught[parts.known])[: len(parts.labels)]
    with pytest.raises(DatasetError, match="label events"):
        replace(parts, labels=early)


def test_models_that_know_everything_are_refused(parts):
    """A model told the whole log can't be tested on it."""
    with pytest.raises(DatasetError, match="Nothing was measured"):
        Split(
            parts.protocol,
            parts.log,
            parts.taught,
            np.ones(len(parts.log), bool),
            np.flatnonzero(parts.known)[parts.labels],
            parts.test,
        )


def test_a_log_that_can_not_be_split_says_why():
    """Too few events, events all of one moment, users of two events and no known user each get a sentence."""
    with pytest.raises(DatasetError, match="at least 50"):
        split(log_of(ring(users=4, steps=3)), quick())
    with pytest.raises(DatasetError, match="timestamp"):
        split(log_of(ring().assign(timestamp=5.0)), quick())
    with pytest.raises(DatasetError, match="at least 3 interactions"):
        split(log_of(ring(steps=2)), quick(), "loo")
    with pytest.raises(DatasetError, match="known before the test"):
        split(log_of(ring(steps=1)), quick(), "horizon")


def test_an_unknown_protocol_is_named():
    """A protocol that does not exist is refused with the names of those that do."""
    with pytest.raises(DatasetError, match=r"'daily'.*loo, rolling, horizon"):
        split(log_of(ring()), quick(), "daily")
