"""The replay of `python -m training advise`: its slates are those of the service in each mode, its queries know what
they may know, and times that are days judge no age below a day.
"""

from dataclasses import replace

import numpy as np
import pytest

from recsys.lists.list_maker import ListMaker
from recsys.lists.user_record import UserRecord
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.types import CLOCK, Event, Mode
from tests.fakes.in_process import InProcessService
from tests.sample_data import planted_taste
from training.advisor.replay import AGES, Replay, curves_of
from training.advisor.replayed_queries import ReplayedQueries, draw_queries
from training.advisor.replayed_slates import ReplayedService
from training.config import TrainingConfig
from training.data import dataset
from training.data.interaction_log import DAY, encode
from training.evaluation.split import split

HOUR = 3_600.0
USERS = [3, 4, 10, 23, 57, 101]
"""Of the tiny dataset; user ids are the rows of the log in another order."""


class World:
    """The service and the replay over one generation; each user of USERS has three clicks and then a query."""

    def __init__(self, folder, log):
        self.service = InProcessService(folder)
        row_of, end = {user: row for row, user in enumerate(log.user_ids.tolist())}, log.end + DAY
        steps = (1 * HOUR, 7.5 * HOUR, 7.9 * HOUR, 8 * HOUR)
        events = [(row_of[user], 7 * n + user, end + step) for n, step in enumerate(steps) for user in USERS]
        users, items, times = zip(*events, strict=True)
        self.clicks, count = events[: -len(USERS)], len(log)
        self.log = replace(
            log,
            users=np.append(log.users, np.array(users, np.int32)),
            items=np.append(log.items, np.array(items, np.int32) % len(log.catalogue)),
            times=np.append(log.times, times),
            types=np.append(log.types, np.zeros(len(events), np.uint8)),
            contexts=np.append(log.contexts, np.ones((len(events), log.contexts.shape[1]), np.uint8), axis=0),
            weights=np.append(log.weights, np.ones(len(events), np.float32)),
        )
        at = count + len(self.clicks) + np.arange(len(USERS))
        queries = ReplayedQueries(self.log, at, self.log.items[at], {})
        models = ReplayedService(self.service.served, Retriever.load(folder), Ranker.load(folder))
        self.replay = Replay.of(queries, models)
        self.maker = ListMaker(folder.manifest, folder.tables(), folder.spec(), models.retriever, models.ranker)

    def add_clicks(self, before):
        """Let the store have the clicks before a moment."""
        store, log = self.service.store, self.log
        store.events.clear()
        for user, item, time in self.clicks:
            if time < before:
                store.add(Event(log.user_ids[user], log.catalogue.ids[item % len(log.catalogue)], time))

    def make_list(self, at, age):
        """Make the user's list by what the store holds, as the flow does, and write it."""
        store, user = self.service.store, str(self.replay.queries.user_id(at))
        maker = replace(self.maker, trending=self.replay.trending[age][at])
        past = UserRecord.unpack(store.records[user]), store.events.get(user, [])
        (made,) = maker.make([past], float(self.replay.queries.moments(age)[at]))
        store.lists[user] = made.pack()
        return made


@pytest.fixture(scope="module")
def world(tiny_world):
    return World(*tiny_world)


@pytest.mark.parametrize("age", [DAY, HOUR, 0.0])
def test_slates_are_those_of_the_service(tiny_world, age):
    """In each mode, for lists of several ages: the same items in the same order, sources and scores."""
    world = World(*tiny_world)
    queries, replay = world.replay.queries, world.replay
    some = np.arange(len(queries))
    assert any(world.replay.trending[0.0])
    world.add_clicks(float(queries.moments(age).max()))
    stored = [world.make_list(at, age) for at in some]
    world.add_clicks(float(queries.times.max()))
    lists = replay.lists(some, age)
    for ours, theirs in zip(lists, stored, strict=True):
        assert ours.items.tolist() == theirs.items.tolist()
    for mode in (Mode.BATCH, Mode.HYBRID, Mode.REALTIME):
        ours = [replay.query(at, mode=mode, listed=lists[at]) for at in some]
        replay.service.answer(ours)
        for at, mine in zip(some, ours, strict=True):
            more = {"extra": dict(mine.extra), "context": queries.contexts[at], "now": mine.now}
            theirs = world.service.run(world.service.query(user=queries.user_id(at), mode=mode, deadline=60.0, **more))
            assert theirs.degraded == []
            assert (theirs.made_by, mine.made_by) == (mode, mode)
            assert mine.items.tolist() == theirs.items.tolist()
            assert mine.sources.tolist() == theirs.sources.tolist()
            assert mine.removed == theirs.removed
            np.testing.assert_allclose(mine.scores, theirs.scores, rtol=1e-4, atol=1e-5)


def test_a_query_reads_the_history_of_its_age_and_hides_every_seen_item(world):
    """The clicks are 7 hours, 30 minutes and 6 minutes before the query; its items are hidden at once."""
    queries, known = world.replay.queries, world.replay.known
    for age in AGES[1:]:
        moment = queries.moments(age)
        assert (moment <= queries.times).all()
        assert (queries.times - moment < age).all()
        later = sum((queries.times - back >= moment).astype(int) for back in (7 * HOUR, 0.5 * HOUR, 0.1 * HOUR))
        assert (known[age] == known[0.0] - later).all()
    assert len({known[age][0] for age in AGES}) > 1
    old, new = world.replay.query(0, history=DAY), world.replay.query(0)
    assert len(old.history[0]) < len(new.history[0])
    assert set(old.seen.tolist()) == set(new.seen.tolist())
    assert (old.context == world.log.context_of(queries.at[:1])[0, CLOCK:]).all()


@pytest.mark.parametrize("days_alone", [False, True])
def test_ages_below_a_day_are_judged_by_exact_times_alone(tmp_path, days_alone):
    """Times that are days are found out; the mapping may say it of others."""
    folder = planted_taste.write(tmp_path, turns=False, days_alone=days_alone)
    table = dataset.read(folder)
    assert table.exact_times is not days_alone
    mapping = folder / "dataset.toml"
    mapping.write_text(mapping.read_text().replace("[items]", "exact_times = false\n[items]"))
    assert not dataset.read(folder).exact_times
    queries = draw_queries(split(encode(table), TrainingConfig()), 50)
    places = np.arange(len(queries)) % 12
    curves = curves_of("list", dict.fromkeys(AGES, places), places, queries, table.exact_times)
    for curve in curves:
        assert curve.judged == (True, *[not days_alone] * 4, True)
        assert curve.recall.paired_loss == (0.0,) * len(AGES)
