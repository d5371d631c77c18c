"""Labels and tests read popularity and ages of items that are at most a day old, and nothing of the future."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.flows.ring_dataset import START, log_of, quick, ring
from training import recipe
from training.encode.interaction_log import DAY
from training.encode.protocols import PROTOCOLS
from training.encode.split import split
from training.fit.first_stage import fit_first_stage
from training.judge.replay import ReplayedModel
from training.offpolicy.tested_model import judge_tested
from training.rank import examples

DAYS, HIT_DAYS, EVENTS, ITEMS = 60, 3, 40, 60
BRIEF = replace(quick(), tower=replace(quick().tower, epochs=1))


def hits():
    """A log in which a new item has two thirds of the events of three days, and then none."""
    rng = np.random.default_rng(0)
    days = np.repeat(np.arange(DAYS), EVENTS)
    items = np.where(rng.random(len(days)) < 2 / 3, ITEMS + days // HIT_DAYS, rng.integers(0, ITEMS, len(days)))
    times = np.floor(START / DAY) * DAY + days * DAY + rng.integers(0, int(DAY), len(days))
    users = rng.integers(0, 300, len(days))
    return pd.DataFrame({"user_id": users, "item_id": items, "timestamp": times}).sort_values("timestamp")


@pytest.fixture(scope="module")
def parts():
    """The log of hits, split in time: six days of labels and six of the test."""
    return split(log_of(hits(), exclude_seen=False), BRIEF)


def test_labels_read_the_popularity_of_the_midnight_before(parts, monkeypatch):
    """The features of three of four label queries count all events before its day, and no later one.

    Every fourth reads the counts of the window's begin, where newer items have none, as items put after a training.
    """
    stage, seen, build = fit_first_stage(parts.before_labels, BRIEF), [], examples.features.build

    def spied(tables, histories, *rest):
        seen.append((float(tables.popularity[:, 0].sum()), histories.now))
        return build(tables, histories, *rest)

    monkeypatch.setattr(examples.features, "build", spied)
    examples.gather(parts, stage, BRIEF.ranker, np.random.default_rng(0))
    start, times = parts.before_labels.end, parts.log.times
    frozen, dated, later = (times <= start).sum(), 0, 0
    for counted, moments in seen:
        newest = np.array([(times < midnight).sum() for midnight in np.floor(moments / DAY) * DAY])
        assert counted == frozen or (counted == newest).all()
        later += (newest > frozen).sum()
        dated += (newest > frozen).sum() * (counted != frozen)
    assert 0.7 < dated / later < 0.8


def test_no_event_of_a_cut_or_later_changes_a_table(parts):
    """All items since a cut are replaced: the tables of the cut have the same bits, for labels and for the test."""
    cut = float(np.unique(parts.test_cuts(parts.test))[2])
    assert cut > parts.before_test.end
    stage = fit_first_stage(parts.before_test, BRIEF)
    items = np.where(parts.log.times < cut, parts.log.items, 0)
    other = replace(parts, log=replace(parts.log, items=items))
    known, changed = parts.known_to_test(cut), other.known_to_test(cut)
    assert known.end < cut
    assert (known.times < cut).sum() == (parts.log.times < cut).sum()
    for name in ("popularity", "by_popularity", "age"):
        first, second = (getattr(stage.recounted(log).tables, name) for log in (known, changed))
        np.testing.assert_array_equal(first, second)
    label_cut = float(parts.label_cuts(parts.labels).max())
    assert parts.before_labels.end < parts.known_to_labels(label_cut).end < label_cut


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_tables_of_the_models_are_those_of_the_earliest_cut(protocol):
    """Counted again from what the models know they have the same bits; `loo` and `horizon` have no other cut."""
    parts = split(log_of(ring(users=60)), BRIEF, protocol)
    stage = fit_first_stage(parts.before_test, BRIEF)
    same = stage.recounted(parts.known_to_test(0.0))
    for name in ("popularity", "by_popularity", "age"):
        np.testing.assert_array_equal(getattr(same.tables, name), getattr(stage.tables, name))
    assert same.tables.covisit is stage.tables.covisit
    if protocol != "rolling":
        assert not parts.test_cuts(parts.test).any()
        assert not parts.label_cuts(parts.labels).any()


def test_explored_slates_are_judged_with_the_tables_of_their_day(parts, monkeypatch):
    """The tested model answers the slates of a day from what was known before that day."""
    seen, inner = [], ReplayedModel.of
    monkeypatch.setattr(ReplayedModel, "of", lambda known, *rest: seen.append(known) or inner(known, *rest))
    stage = fit_first_stage(parts.before_test, BRIEF)
    net = recipe.train_ranker(parts, recipe.TrainingRun(BRIEF)).net
    asked = parts.before_test.end + DAY * np.array([2.5, 1.5, 1.6])
    judge_tested([SimpleNamespace(asked=each, from_store=False) for each in asked], parts, stage, net)
    assert [float(np.floor(known.end / DAY)) for known in seen] == [*np.unique(np.floor(asked / DAY) - 1)]
