"""The live generation as a scorer of a newer log, and the queries on which it is compared with the tested model."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys.model.features import width
from recsys.model.ranker import RankerNet
from tests.flows.ring_dataset import log_of, quick, ring
from tests.sample_data import tiny
from training.encode.interaction_log import DAY, encode
from training.encode.protocols import PROTOCOLS
from training.encode.split import split
from training.fit.first_stage import fit_first_stage
from training.judge.live_model import LiveModel, compare, unknown_to_both
from training.judge.replay import ReplayedModel
from training.read import dataset

NEW = "drama-new"
LATER = 6_000
"""Later events: so many that each context value and each item has another row than in the generation."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A generation of the tiny sample, its log, and a later log with other rows for items and context values."""
    folder = tmp_path_factory.mktemp("live")
    generation, log = tiny.generation(folder)
    data = folder / "data"
    items = pd.read_csv(data / "items.csv").iloc[::-1]
    pd.concat([items, items[:1].assign(item_id=NEW)]).to_csv(data / "items.csv", index=False)
    table = pd.read_csv(data / "interactions.csv")
    rarer = table["device"].value_counts().index[-1]
    users = tiny.USERS + np.arange(LATER) // 10
    times = table["timestamp"].max() + 1.0 + np.arange(LATER)
    later = pd.DataFrame({"user_id": users, "item_id": NEW, "timestamp": times, "device": rarer})
    pd.concat([table, later]).to_csv(data / "interactions.csv", index=False)
    return generation, log, encode(dataset.read(data))


def test_scores_equal_those_of_the_generation_in_its_own_rows(world):
    """The scores of each history of the first log have the same bits by item id; an unknown item has no score."""
    folder, before, now = world
    assert before.catalogue.spec.contexts != now.catalogue.spec.contexts
    events = np.arange(0, len(before), 40)
    served = ReplayedModel.load(folder)
    counting = replace(served, ranker=served.ranker.counting(before.recent_events))
    expected = counting.scores(before.histories(events))
    found = LiveModel(folder, now).score(now.histories(events))
    at = [now.catalogue.ids.tolist().index(item) for item in before.catalogue.ids]
    np.testing.assert_array_equal(found[:, at], expected)
    assert np.isneginf(found[:, now.catalogue.ids.tolist().index(NEW)]).all()


def test_an_item_out_of_stock_is_no_candidate(world):
    """Stock is read from the new log's catalogue; the live deployment receives it by PUT /items."""
    folder, _, now = world
    gone = now.catalogue.available.copy()
    gone[::2] = False
    found = LiveModel(folder, replace(now, catalogue=replace(now.catalogue, available=gone))).score(
        now.histories(np.arange(20))
    )
    assert np.isneginf(found[:, ~gone]).all()
    assert np.isfinite(found[:, gone]).any(axis=1).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_only_queries_that_neither_model_learned_from_are_compared(protocol):
    """All targets of a compared query are later than the live data; both models or none know their items."""
    frame = ring(steps=20)
    frame.loc[frame["timestamp"].sort_values().index[-120:-60:3], "item_id"] = 40  # first named in the test
    parts = split(log_of(frame), quick(), protocol)
    log, times = parts.log, np.sort(parts.log.times[parts.test])
    for end in (0.0, times[len(times) // 2], log.end):
        chosen = unknown_to_both(parts, end)
        targets = parts.test[chosen]
        assert (log.times[targets] > end).all()
        assert not np.isin(parts.query[~chosen], parts.query[chosen]).any()
        learned = set(log.items[log.times <= end]) - set(parts.before_test.items)
        assert not learned & set(log.items[targets])
        if protocol == "rolling":
            assert chosen.sum() == sum(log.times[e] > end and log.items[e] not in learned for e in parts.test)
    assert unknown_to_both(parts, 0.0).all()


def test_the_live_generation_is_compared_with_tables_of_each_day(world, monkeypatch):
    """Queries after the end of its data read popularity of the day before, as the tested model's queries do."""
    folder, _, now = world
    days = now.times + DAY * (np.arange(len(now)) // (len(now) // 20))  # the later events are all of one day
    log = replace(now, times=days)
    config = quick()
    config = replace(config, tower=replace(config.tower, epochs=1))
    parts = split(log, config)
    live, seen = LiveModel(folder, log), []
    inner = LiveModel.recounted
    monkeypatch.setattr(LiveModel, "recounted", lambda self, known: seen.append(known.end) or inner(self, known))
    stage = fit_first_stage(parts.before_test, config)
    compared = compare(parts, stage, RankerNet(width(stage.tables)), live)
    assert compared.ours is not None
    assert len(seen) > 1
    assert np.all(np.diff(seen) > 0)
    assert seen[0] > live.data_end
